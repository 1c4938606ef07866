"""What is judged: an image, its unit, where its cell is, and what the network said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.explain.judgement.regions import REGIONS
from cytolens.explain.methods.method import Method
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

_CODES = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """An image to judge explanations by.

    Attributes:
        id: of the image.
        unit: what is resampled: its patient, slide, or the image itself.
        image: uint8 [H, W, 3], as the network sees it (`Subject.prepare`).
        mask: codes [H, W] of 0 background, 1 cytoplasm, 2 nucleus (`region_codes`), or None.
        target: what is explained, as a rule the predicted class.
    """

    id: str
    unit: str
    image: NDArray[np.uint8]
    mask: NDArray[np.integer] | None
    target: Target


def check_cases(subject: Subject, cases: Sequence[Case]) -> None:
    """Refuse cases that cannot be judged.

    Raises:
        InputError: none at all, an image twice, of another size, or masks that do not fit.
    """
    if not cases:
        raise InputError("There is no image to judge explanations by.")
    ids = [case.id for case in cases]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InputError("An image would be judged twice.", rows=twice)
    for case in cases:
        subject.check(case.image[None], [case.target])
    wrong = [
        f"{case.id}: shape {case.mask.shape}, values up to {case.mask.max()}"
        for case in cases
        if case.mask is not None
        and (case.mask.shape != subject.size or not np.isin(case.mask, _CODES).all())
    ]
    if wrong:
        height, width = subject.size
        raise InputError(
            "There are masks that do not fit the network's images.",
            rows=wrong,
            expected=f"[{height}, {width}], 0 background, 1 cytoplasm, 2 nucleus",
            fix="bring them to that form with `region_codes`.",
        )


def check_methods(methods: Sequence[Method]) -> None:
    """Refuse two methods of one name: their results could not be told apart.

    Raises:
        InputError: naming them.
    """
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            "A method would be judged twice.",
            rows=twice,
            fix="judge it with other settings in a second judgement.",
        )


def covered(cases: Sequence[Case]) -> dict[str, NDArray[np.float64]]:
    """Return the share of each image that a region of `REGIONS` covers, [N]; NaN where unknown.

    As in `plausibility`, an image without the region does not count.
    """
    found = {}
    for name, codes in REGIONS.items():
        shares = [np.nan if c.mask is None else np.isin(c.mask, codes).mean() for c in cases]
        areas = np.array(shares, np.float64)
        found[name] = np.where(areas > 0, areas, np.nan)
    return found
