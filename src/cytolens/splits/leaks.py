"""Find what test data training would know."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import LeakError
from cytolens.data.duplicates import clusters
from cytolens.data.manifest import Manifest
from cytolens.splits.split import Split
from cytolens.splits.units import Links

_EXAMPLES = 3


def find_leaks(split: Split, manifest: Manifest, links: Links) -> list[str]:
    """Return a sentence for each way in which parts of a fold share something.

    Train and validation are both compared with test; train is also compared with validation,
    because early stopping on known images chooses too late.
    """
    parts = [
        {part: fold.rows(part, manifest) for part in ("train", "validation", "test")}
        for fold in split.folds
    ]
    reasons: list[str] = []
    for what, pairs in (
        ("group", links.group),
        ("exact duplicate", links.exact),
        ("near duplicate", links.near),
        ("augmented sibling", links.sibling),
    ):
        if not pairs:
            continue
        component = clusters(len(manifest), pairs)
        for sides in (("train", "validation"), ("test",)), (("train",), ("validation",)):
            shared, images = _shared(parts, component, *sides)
            if shared:
                reasons.append(_sentence(what, sides, shared, images, manifest))
    return reasons


def _shared(
    folds: list[dict[str, NDArray[np.int64]]],
    component: NDArray[np.int64],
    left: tuple[str, ...],
    right: tuple[str, ...],
) -> tuple[list[int], int]:
    """Return the components on both sides of some fold, and their right-hand images."""
    both: set[int] = set()
    images: set[int] = set()
    for rows in folds:
        known = set(component[np.concatenate([rows[part] for part in left])].tolist())
        for part in right:
            for row in rows[part].tolist():
                if int(component[row]) in known:
                    both.add(int(component[row]))
                    images.add(row)
    return sorted(both), len(images)


def _sentence(
    what: str,
    sides: tuple[tuple[str, ...], tuple[str, ...]],
    shared: list[int],
    images: int,
    manifest: Manifest,
) -> str:
    left, right = (" and ".join(side) for side in sides)
    names = [
        (manifest.rows[c].group if what == "group" else None) or manifest.ids[c]
        for c in shared[:_EXAMPLES]
    ]
    more = ", …" if len(shared) > _EXAMPLES else ""
    kinds = {"group": "groups", "exact duplicate": "sets of exact duplicates"}
    plural = kinds.get(what, f"sets of {what}s")
    noun = f"{len(shared)} {plural if len(shared) > 1 else plural.replace('s of', ' of', 1)}"
    if what == "group":
        noun = f"{len(shared)} group{'s' if len(shared) > 1 else ''}"
    return f"{noun} on both sides of {left} / {right} ({images} images; {', '.join(names)}{more})"


def refuse_leaks(leaks: Iterable[str]) -> None:
    """Raise one `LeakError` if there is any leak."""
    rows = list(leaks)
    if rows:
        raise LeakError(
            "The split leaks: training would know test images.",
            rows=rows,
            expected="no group, duplicate or augmented sibling on both sides",
            fix='split by group (split.unit = "auto"), or set protocol = "published": the run is '
            "then allowed and every number carries the stamp 'leaks'.",
        )
