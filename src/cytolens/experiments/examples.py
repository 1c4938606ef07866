"""The training images that a bundle carries, where its recipe asks for some (`bundle.examples`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cytolens.bundle.card import EXAMPLES
from cytolens.bundle.config import BundleConfig
from cytolens.bundle.examples import ExamplesCard, make_examples, thumbnail
from cytolens.bundle.ood import in_turn
from cytolens.bundle.predict import load_bundle
from cytolens.bundle.save import write_tensors
from cytolens.core.errors import InputError
from cytolens.core.files import writing
from cytolens.core.seeding import rng
from cytolens.data.reading import read_image
from cytolens.pixels.image import Image


@dataclass(frozen=True)
class Candidate:
    """A training image that may be carried.

    Attributes:
        unit: name of what must not be split: each gives one image before any gives a second.
    """

    image: Path
    label: str
    unit: str


def refuse_too_few(config: BundleConfig, classes: Sequence[str]) -> None:
    """Refuse fewer examples than classes, before anything runs."""
    if 0 < config.examples < len(classes):
        raise InputError(
            f"bundle.examples = {config.examples} leaves a class without an example.",
            expected=f"0, or at least {len(classes)}, one a class",
        )


def write_examples(
    folder: Path, candidates: Sequence[Candidate], most: int, seed: int
) -> ExamplesCard:
    """Draw examples and write them into a bundle; its description is the caller's to amend.

    Half of them are spread evenly over the classes and the rest as the classes are; of a class they
    are drawn from the units in turn. They are numbered class by class in the order of drawing.

    Args:
        folder: of the bundle, which gives the features.
        candidates: the training images, copies by augmentation left out.
        most: how many, at least one a class; fewer where there are fewer candidates.

    Raises:
        InputError: no candidates, features that are not finite, or a place that cannot be
            written.
    """
    if not candidates:
        raise InputError("There are no training images but copies by augmentation.")
    bundle = load_bundle(folder)
    chosen = [candidates[row] for row in choose(candidates, bundle.classes, most, seed)]
    pictures: list[bytes] = []

    def images() -> Iterator[Image]:
        for one in chosen:
            image = read_image(one.image)
            pictures.append(thumbnail(image))
            yield image

    features = bundle.features(images())
    labels = [one.label for one in chosen]
    card, tensors = make_examples(pictures, labels, features, bundle.classes)
    with writing(folder, "the bundle"):
        write_tensors(folder / EXAMPLES, tensors)
    return card


def choose(
    candidates: Sequence[Candidate], classes: Sequence[str], most: int, seed: int
) -> list[int]:
    """Return rows of `candidates`, class by class; see `write_examples`."""
    rows = {name: [i for i, c in enumerate(candidates) if c.label == name] for name in classes}
    shares = allot([len(rows[name]) for name in classes], most)
    found = []
    for name, share in zip(classes, shares, strict=True):
        if share:
            units = [candidates[row].unit for row in rows[name]]
            order = in_turn(units, rng(seed, "bundle", "examples", name))
            found += [rows[name][place] for place in order[:share]]
    return found


def allot(counts: Sequence[int], most: int) -> list[int]:
    """Return how many of each class are taken, together `most` or all there are.

    Of each class `most` / (2 classes), at least one, if it has so many; the rest in proportion to
    what is left (largest remainders, the first of equal ones).

    Args:
        counts: images of each class.
        most: at least the number of classes.
    """
    least = max(1, most // (2 * len(counts)))
    taken = np.minimum(counts, least)
    left = np.asarray(counts) - taken
    rest = min(most - int(taken.sum()), int(left.sum()))
    if rest > 0:
        more, remainder = np.divmod(rest * left, left.sum())
        order = np.argsort(-remainder, kind="stable")
        more[order[: rest - int(more.sum())]] += 1
        taken = taken + more
    return [int(count) for count in taken]
