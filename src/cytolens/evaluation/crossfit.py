"""Cross-fitting: what is applied to an image was fitted without the image and without its unit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.evaluation.checks import counted
from cytolens.evaluation.predictions import Predictions

SMALLEST_SET = 50
SMALLEST_CLASS = 5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Applied = Callable[[Floats], NDArray[Any]]
Fit = Callable[[Predictions], Applied]


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts that are fitted without one another.

    Attributes:
        number: int64 [n], the part of each row; a part lies within one repeat.
        how: what the parts are, for a reader.
    """

    number: Ints
    how: str


def too_few(predictions: Predictions) -> str:
    """Return why nothing can be fitted to these predictions, in a sentence, or "".

    It takes `SMALLEST_SET` images, `SMALLEST_CLASS` of each class, and two units a repeat.
    """
    if predictions.images < SMALLEST_SET:
        return (
            f"Nothing was fitted: there are {counted(predictions.images, 'image')}, "
            f"fewer than {SMALLEST_SET}."
        )
    labels = dict(zip(predictions.ids, predictions.labels.tolist(), strict=True))
    found = Counter(labels.values())
    for index, name in enumerate(predictions.classes):
        if found[index] < SMALLEST_CLASS:
            return (
                f"Nothing was fitted: the class {name} has {counted(found[index], 'image')}, "
                f"fewer than {SMALLEST_CLASS}."
            )
    for repeat in np.unique(predictions.repeats).tolist():
        rows = np.flatnonzero(predictions.repeats == repeat).tolist()
        if len({predictions.units[row] for row in rows}) < 2:
            return "Nothing was fitted: all images are of one unit."
    return ""


def parts(predictions: Predictions, seed: int = 0) -> Parts:
    """Divide the rows: by fold where no unit is in two folds, else into halves of the units.

    The halves of a single holdout are drawn with `seed`, with about the same classes in both.

    Raises:
        InputError: all images of a repeat are of one unit.
    """
    number = np.empty(len(predictions), np.int64)
    folds, halved, start = 0, False, 0
    for repeat in np.unique(predictions.repeats).tolist():
        rows = np.flatnonzero(predictions.repeats == repeat)
        found = _folds(predictions, rows)
        if found is None:
            found, halved = _halves(predictions, rows, seed, repeat), True
        else:
            folds = max(folds, len(np.unique(found)))
        number[rows] = start + found
        start = int(number[rows].max()) + 1
    how = [f"{folds} folds"] if folds else []
    return Parts(number, " and ".join(how + ["two halves of the units"] * halved))


def _folds(predictions: Predictions, rows: Ints) -> Ints | None:
    folds = predictions.folds[rows] - predictions.folds[rows].min()
    seen: dict[str, set[int]] = defaultdict(set)
    for row, fold in zip(rows.tolist(), folds.tolist(), strict=True):
        seen[predictions.units[row]].add(fold)
    kept = len(np.unique(folds)) > 1 and all(len(found) == 1 for found in seen.values())
    return np.asarray(folds, np.int64) if kept else None


def _halves(predictions: Predictions, rows: Ints, seed: int, repeat: int) -> Ints:
    """Deal the units out alternately, those of one class after another, large ones first."""
    labels: dict[str, list[int]] = defaultdict(list)
    for row in rows.tolist():
        labels[predictions.units[row]].append(int(predictions.labels[row]))
    if len(labels) < 2:
        raise InputError(
            "All images are of one unit, so nothing can be fitted on others than it is scored on.",
            expected="at least two groups, or two images where there are no groups",
        )
    names = sorted(labels)
    shuffled = [names[place] for place in rng(seed, "crossfit", repeat).permutation(len(names))]
    dealt = sorted(shuffled, key=lambda unit: (_mode(labels[unit]), -len(labels[unit])))
    half = {unit: place % 2 for place, unit in enumerate(dealt)}
    return np.array([half[predictions.units[row]] for row in rows.tolist()], np.int64)


def _mode(labels: list[int]) -> int:
    return Counter(sorted(labels)).most_common(1)[0][0]


def crossfit_rows(predictions: Predictions, fit: Fit, *, seed: int = 0) -> NDArray[Any]:
    """Apply to each part what was fitted on the other parts of the same repeat.

    Args:
        predictions: pooled test predictions.
        fit: takes the predictions to fit on and returns what is applied, a function of
            probabilities [m, k] that returns m rows.
        seed: for the halves of a single holdout (`parts`).

    Returns:
        the rows in the order of the predictions, [n, …].

    Raises:
        InputError: all images of a repeat are of one unit.
    """
    number = parts(predictions, seed).number
    result: NDArray[Any] | None = None
    for part in np.unique(number).tolist():
        inside = np.flatnonzero(number == part)
        same = predictions.repeats == predictions.repeats[inside[0]]
        outside = np.flatnonzero(same & (number != part))
        rows = np.asarray(fit(predictions.select(outside))(predictions.probabilities[inside]))
        assert len(rows) == len(inside), "what is applied keeps the rows"
        if result is None:
            result = np.empty((len(predictions), *rows.shape[1:]), rows.dtype)
        result[inside] = rows
    assert result is not None
    return result


def crossfit(predictions: Predictions, fit: Fit, *, seed: int = 0) -> Predictions:
    """Return the predictions with cross-fitted probabilities; see `crossfit_rows`."""
    return replace(predictions, probabilities=crossfit_rows(predictions, fit, seed=seed))


def chain(first: Fit, second: Fit) -> Fit:
    """Fit `first`, then `second` on what `first` makes of the same predictions; apply in turn.

    `crossfit_rows(predictions, chain(calibrate, form_sets))` scores both together: neither has
    seen the image.
    """

    def fit(predictions: Predictions) -> Applied:
        one = first(predictions)
        two = second(replace(predictions, probabilities=one(predictions.probabilities)))
        return lambda probabilities: two(np.asarray(one(probabilities), np.float64))

    return fit


def each_image_once(predictions: Predictions) -> Predictions:
    """Return the first row of every image: what counts images (a quantile) must not count twice."""
    first: dict[str, int] = {}
    for row, name in enumerate(predictions.ids):
        first.setdefault(name, row)
    return predictions.select(sorted(first.values()))
