"""What predictions are refused for; every refusal names the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError

if TYPE_CHECKING:
    from cytolens.evaluation.predictions import Predictions

SUM_TOLERANCE = 1e-4
T = TypeVar("T", int, str)


def counted(count: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def whole_numbers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """Return `values` as int64.

    Raises:
        InputError: they are not integers.
    """
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise InputError(f"The {name} are {array.dtype}.", expected="whole numbers")
    return array.astype(np.int64)


def require_share(value: float, name: str) -> None:
    """`value` lies strictly between 0 and 1 (NaN does not)."""
    if not 0 < value < 1:
        raise InputError(f"{name} = {value:g}.", expected="a number between 0 and 1, without them")


def probability_table(values: ArrayLike, columns: int | None = None) -> NDArray[np.float64]:
    """Return probabilities as float64 [n, k]; n may be 0.

    Raises:
        InputError: not a table, not `columns` wide, or a row that is not a distribution.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[1] == 0 or columns not in (None, table.shape[1]):
        width = "k" if columns is None else str(columns)
        raise InputError(
            f"The probabilities have shape {table.shape}.",
            expected=f"[n, {width}]: a row an image, a column a class",
        )
    with np.errstate(invalid="ignore"):
        outside = ~((table >= 0) & (table <= 1 + SUM_TOLERANCE)).all(axis=1)
        wrong = np.flatnonzero(outside | ~(np.abs(table.sum(axis=1) - 1) <= SUM_TOLERANCE))
    if wrong.size:
        raise InputError(
            f"{counted(wrong.size, 'row')} that are not probabilities.",
            rows=[f"row {i}: {_row(table[i])}" for i in wrong],
            expected="numbers from 0 to 1 with the sum 1",
        )
    return table


def scores_and_truth(
    scores: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return one score and one yes or no a row: float64 [n], bool [n], n > 0.

    Raises:
        InputError: other shapes, no rows, or a score that is not a number.
    """
    values, yes = np.asarray(scores, np.float64), np.asarray(truth, np.bool_)
    if values.ndim != 1 or values.shape != yes.shape or not values.size:
        raise InputError(
            f"Scores of shape {values.shape} do not go with a truth of shape {yes.shape}.",
            expected="one of each for at least one image",
        )
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            f"{counted(wrong.size, 'score')} that are not numbers.",
            rows=[f"row {i}" for i in wrong],
        )
    return values, yes


def require_columns(predictions: Predictions) -> None:
    """Every column speaks of the same n > 0 rows, and the probabilities of all classes."""
    if not predictions.ids:
        raise InputError("There are no predictions to score.")
    names = ("ids", "labels", "folds", "repeats", "units")
    lengths = {name: np.shape(getattr(predictions, name)) for name in names}
    rows = len(predictions.ids)
    if any(shape != (rows,) for shape in lengths.values()):
        raise InputError(
            "The columns of the predictions differ in length.",
            rows=[f"{name}: {' x '.join(map(str, shape))}" for name, shape in lengths.items()],
        )
    if len(set(predictions.classes)) != len(predictions.classes):
        raise InputError("A class is named twice.", rows=predictions.classes)
    shape = predictions.probabilities.shape
    if shape != (rows, len(predictions.classes)):
        raise InputError(
            f"The probabilities have shape {shape}.",
            expected=f"{(rows, len(predictions.classes))}: a row an image, a column a class",
        )


def require_labels(predictions: Predictions) -> None:
    """Every label is an index into the classes."""
    k = len(predictions.classes)
    wrong = np.flatnonzero((predictions.labels < 0) | (predictions.labels >= k))
    if wrong.size:
        raise InputError(
            f"{counted(wrong.size, 'label')} out of range.",
            rows=[f"{predictions.ids[i]}: label {predictions.labels[i]}" for i in wrong],
            expected=f"0 to {k - 1}, the places of {', '.join(predictions.classes)}",
        )


def require_probabilities(predictions: Predictions) -> None:
    """Every row is a probability distribution."""
    probabilities, ids = predictions.probabilities, predictions.ids
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if broken.size:
        raise InputError(
            f"{counted(broken.size, 'row')} with probabilities that are not numbers.",
            rows=[f"{ids[i]}: {_row(probabilities[i])}" for i in broken],
            fix="the training has diverged; lower the learning rate.",
        )
    sums = probabilities.sum(axis=1)
    outside = (probabilities < 0).any(axis=1) | (probabilities > 1 + SUM_TOLERANCE).any(axis=1)
    wrong = np.flatnonzero(outside | (np.abs(sums - 1) > SUM_TOLERANCE))
    if wrong.size:
        raise InputError(
            f"{counted(wrong.size, 'row')} with probabilities that do not sum to 1.",
            rows=[f"{ids[i]}: {_row(probabilities[i])} sum to {sums[i]:.4g}" for i in wrong],
            expected="numbers from 0 to 1 with the sum 1, as a softmax gives them",
        )


def _row(values: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{value:.4g}" for value in values[:8])
    return shown + (", …" if len(values) > 8 else "")


def require_once_a_repeat(predictions: Predictions) -> None:
    """No image is predicted twice within a repeat."""
    seen: dict[tuple[int, str], list[int]] = defaultdict(list)
    places = zip(predictions.repeats.tolist(), predictions.ids, strict=True)
    for place, fold in zip(places, predictions.folds.tolist(), strict=True):
        seen[place].append(fold)
    twice = {place: folds for place, folds in seen.items() if len(folds) > 1}
    if twice:
        raise InputError(
            f"{counted(len(twice), 'image')} predicted more than once in a repeat.",
            rows=[
                f"{name}: repeat {repeat}, folds {', '.join(map(str, folds))}"
                for (repeat, name), folds in twice.items()
            ],
            expected="every image in the test part of exactly one fold a repeat",
        )


def require_one_truth(predictions: Predictions) -> None:
    """An image has the same label and the same unit in every repeat."""
    truths: dict[str, set[str]] = defaultdict(set)
    names = [predictions.classes[label] for label in predictions.labels]
    for name, label, unit in zip(predictions.ids, names, predictions.units, strict=True):
        truths[name].add(f"label {label}, unit {unit}")
    odd = {name: found for name, found in truths.items() if len(found) > 1}
    if odd:
        raise InputError(
            f"{counted(len(odd), 'image')} with more than one label or unit.",
            rows=[f"{name}: {'; '.join(sorted(found))}" for name, found in odd.items()],
        )


def require_complete(predictions: Predictions, expected: Collection[str] | None = None) -> None:
    """No fold and no image is missing, and none is there that was not `expected`.

    Folds count from 0 or 1. With more than one fold a repeat (cross-validation), every repeat
    must hold the same images; repeated holdouts test different ones.

    Raises:
        InputError: naming the repeat and the fold or image.
    """
    folds: dict[int, set[int]] = defaultdict(set)
    images: dict[int, set[str]] = defaultdict(set)
    for row, repeat in enumerate(predictions.repeats.tolist()):
        folds[repeat].add(int(predictions.folds[row]))
        images[repeat].add(predictions.ids[row])
    known = set.union(*folds.values())
    first = min(1, min(known))
    _refuse_missing("fold", set(range(first, max(known) + 1)), folds)
    if expected is not None:
        _refuse_missing("image", set(expected), images)
        _refuse_unexpected(set(expected), images)
    elif len(known) > 1:
        _refuse_missing("image", set.union(*images.values()), images)


def _refuse_missing(noun: str, wanted: set[T], found: dict[int, set[T]]) -> None:
    gaps = [
        f"repeat {repeat}: {noun} {thing}" if noun == "fold" else f"repeat {repeat}: {thing}"
        for repeat in sorted(found)
        for thing in sorted(wanted - found[repeat])
    ]
    if gaps:
        raise InputError(
            f"{counted(len(gaps), noun)} without predictions.",
            rows=gaps,
            expected="the predictions of every fold, each image exactly once a repeat",
            fix="run the missing folds; the same command resumes what was cut off.",
        )


def _refuse_unexpected(expected: set[str], images: dict[int, set[str]]) -> None:
    surplus = [
        f"repeat {repeat}: {name}"
        for repeat in sorted(images)
        for name in sorted(images[repeat] - expected)
    ]
    if surplus:
        raise InputError(
            f"{counted(len(surplus), 'image')} predicted that the split does not test.",
            rows=surplus,
        )
