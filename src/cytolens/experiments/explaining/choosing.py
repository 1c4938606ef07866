"""Which test images of a run are explained: by rules that leave nothing to pick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cytolens.core.seeding import rng
from cytolens.evaluation import Predictions

Part = Literal["correct", "wrong", "class", "asked"]
EACH = 5  # right ones, and wrong ones, as in the figures of contrastive2023

RULE = (
    "Chosen by rule from the {n} test images of the first fold, {seen}: correct ones of each "
    "class in turn, nearest to the median confidence of its correct images; wrong ones, the surest "
    "first; and one image of each class, drawn with seed {seed}, right or wrong."
)


@dataclass(frozen=True)
class Choice:
    """Rows of the predictions with the part they play, and what a reader must know of them."""

    rows: list[tuple[int, Part]]
    notes: list[str]


def choose(predictions: Predictions, seed: int) -> Choice:
    """Choose five correct images, five wrong ones, and one of each class.

    An image plays one part, unless its class has no other.

    Args:
        predictions: of the test images of one fold, each once.
    """
    sure = predictions.probabilities.max(axis=1)  # [n]
    right = predictions.predicted == predictions.labels  # [n]
    correct = _typical(predictions, sure, np.flatnonzero(right))
    wrong = _ordered(predictions, np.flatnonzero(~right), -sure)[:EACH]
    drawn, missing = _one_a_class(predictions, {*correct, *wrong}, seed)
    notes = []
    for part, found in (("correct", right), ("wrong", ~right)):
        count = int(found.sum())
        if count < EACH:
            notes.append(f"{count} of {len(predictions)} test images of this fold are {part}.")
    notes += [f"The test images of this fold hold none of class {name}." for name in missing]
    rows: list[tuple[int, Part]] = [(row, "correct") for row in correct]
    rows += [(row, "wrong") for row in wrong]
    rows += [(row, "class") for row in drawn]
    return Choice(rows, notes)


def draw(predictions: Predictions, most: int, seed: int) -> list[int]:
    """Return the rows of at most `most` images, drawn without replacement, in their own order."""
    drawn = rng(seed, "explain", "judged").permutation(len(predictions))[:most]
    return sorted(drawn.tolist())


def _typical(
    predictions: Predictions, sure: NDArray[np.float64], rows: NDArray[np.int64]
) -> list[int]:
    """Return up to five rows, of each class in turn, nearest to its median confidence first."""
    waiting = []
    for number in range(len(predictions.classes)):
        mine = rows[predictions.labels[rows] == number]
        if len(mine):
            waiting.append(_ordered(predictions, mine, np.abs(sure - np.median(sure[mine]))))
    found: list[int] = []
    while any(waiting) and len(found) < EACH:
        found += [queue.pop(0) for queue in waiting if queue]
    return found[:EACH]


def _ordered(
    predictions: Predictions, rows: NDArray[np.int64], key: NDArray[np.float64]
) -> list[int]:
    """Return rows by `key` [n], smallest first; by id on a tie."""
    return sorted(rows.tolist(), key=lambda row: (key[row], predictions.ids[row]))


def _one_a_class(
    predictions: Predictions, taken: set[int], seed: int
) -> tuple[list[int], list[str]]:
    """Return a row a class, not taken where there is another, and the classes without images."""
    drawn = rng(seed, "explain", "one a class").permutation(len(predictions)).tolist()
    found, missing = [], []
    for number, name in enumerate(predictions.classes):
        mine = [row for row in drawn if predictions.labels[row] == number]
        if mine:
            found.append(next((row for row in mine if row not in taken), mine[0]))
        else:
            missing.append(name)
    return found, missing
