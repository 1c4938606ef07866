"""Cross-fitting: nothing is applied to an image it was fitted on, nor to one of its unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    Predictions,
    calibration_fit,
    chain,
    conformal_fit,
    crossfit,
    crossfit_rows,
    each_image_once,
    fit_calibrator,
    parts,
    too_few,
)
from cytolens.evaluation.crossfit import Applied

Build = Callable[..., Predictions]


def grouped(
    draw: Build, n: int = 120, units: int = 30, folds: int = 4, **changes: Any
) -> Predictions:
    one = draw(n, 3, units, **changes)
    place = {unit: index % folds for index, unit in enumerate(sorted(set(one.units)))}
    return draw(n, 3, units, folds=np.array([place[unit] for unit in one.units]), **changes)


def repeated(draw: Build) -> Predictions:
    """The same images in two repeats with different folds, whole units in each."""
    first, second = grouped(draw, folds=3), grouped(draw, folds=4)
    return Predictions(
        ids=[*first.ids, *second.ids],
        labels=np.r_[first.labels, second.labels],
        probabilities=np.concatenate([first.probabilities, second.probabilities[:, [0, 1, 2]]]),
        classes=first.classes,
        folds=np.r_[first.folds, second.folds],
        repeats=np.r_[np.zeros(120, int), np.ones(120, int)],
        units=[*first.units, *second.units],
    )


CASES = {
    "folds": lambda draw: grouped(draw),
    "one holdout": lambda draw: draw(120, 3, 30),
    "folds that divide units": lambda draw: draw(120, 3, 10, folds=np.arange(120) % 5),
    "repeats": repeated,
    "two units": lambda draw: draw(40, 3, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_no_image_and_no_unit_is_in_its_own_fit(draw: Build, case: str) -> None:
    predictions = CASES[case](draw)
    rows = {p.tobytes(): row for row, p in enumerate(predictions.probabilities[:120])}
    seen: list[int] = []

    def spy(part: Predictions) -> Applied:
        known, ids = set(part.units), set(part.ids)
        assert len(set(part.repeats.tolist())) == 1

        def apply(probabilities: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            for p in probabilities:
                row = rows[p.tobytes()]
                seen.append(row)
                assert predictions.ids[row] not in ids
                assert predictions.units[row] not in known
            return probabilities

        return apply

    found = crossfit(predictions, spy)
    assert len(seen) == len(predictions)
    assert (found.probabilities == predictions.probabilities).all()
    assert found.ids == predictions.ids


@pytest.mark.parametrize(
    ("case", "how", "count"),
    [
        ("folds", "4 folds", 4),
        ("one holdout", "two halves of the units", 2),
        ("folds that divide units", "two halves of the units", 2),
        ("repeats", "4 folds", 7),
    ],
)
def test_parts_are_told(draw: Build, case: str, how: str, count: int) -> None:
    found = parts(CASES[case](draw))
    assert (found.how, len(np.unique(found.number))) == (how, count)


def test_crossfit_equals_a_loop_over_folds(draw: Build) -> None:
    predictions = grouped(draw)
    expected = np.empty_like(predictions.probabilities)
    for fold in range(4):
        inside = predictions.folds == fold
        table, labels = predictions.probabilities[~inside], predictions.labels[~inside]
        fitted = fit_calibrator("vector", table, labels)
        expected[inside] = fitted.apply(predictions.probabilities[inside])
    found = crossfit(predictions, calibration_fit("vector"))
    assert (found.probabilities == expected).all()


def test_halves_hold_the_classes_alike_and_depend_on_the_seed_alone(draw: Build) -> None:
    predictions = draw(300, 3, 10_000)
    first = parts(predictions, seed=4).number
    assert (first == parts(predictions, seed=4).number).all()
    assert (first != parts(predictions, seed=5).number).any()
    for label in range(3):
        counts = np.bincount(first[predictions.labels == label], minlength=2)
        assert abs(counts[0] - counts[1]) <= 6
    order = np.random.default_rng(0).permutation(300)
    shuffled = parts(predictions.select(order), seed=4).number
    assert (shuffled == first[order]).all()


def test_a_chain_fits_the_second_on_what_the_first_makes(draw: Build) -> None:
    predictions = grouped(draw)
    both = chain(calibration_fit("temperature"), conformal_fit(0.8))
    sets = crossfit_rows(predictions, both)
    assert sets.shape == (120, 3) and sets.dtype == np.bool_
    inside = predictions.folds == 2
    other = predictions.select(np.flatnonzero(~inside))
    first = fit_calibrator("temperature", other.probabilities, other.labels)
    warmed = crossfit(other, lambda _: first.apply)
    second = conformal_fit(0.8)(warmed)
    expected = second(first.apply(predictions.probabilities[inside]))
    assert (sets[inside] == expected).all()


def test_one_unit_cannot_be_cross_fitted(draw: Build) -> None:
    with pytest.raises(InputError, match="All images are of one unit") as caught:
        crossfit(draw(20, 3, 1), calibration_fit("none"))
    assert "at least two groups" in str(caught.value)


def test_too_few_images_are_told(draw: Build, build: Build) -> None:
    assert too_few(draw(50, 3, 20)) == ""
    assert too_few(draw(49, 3, 20)) == "Nothing was fitted: there are 49 images, fewer than 50."
    rare = build([[0.5, 0.5]] * 60, [0] * 56 + [1] * 4)
    assert too_few(rare) == "Nothing was fitted: the class b has 4 images, fewer than 5."
    one = build([[0.5, 0.5]] * 60, [0] * 60)
    assert too_few(one) == "Nothing was fitted: the class b has 0 images, fewer than 5."
    assert too_few(draw(60, 3, 1)) == "Nothing was fitted: all images are of one unit."


def test_repeats_do_not_make_few_images_many(draw: Build) -> None:
    first = draw(40, 2, 10)
    rows = np.r_[np.arange(40), np.arange(40)]
    many = Predictions(
        ids=[first.ids[row] for row in rows],
        labels=first.labels[rows],
        probabilities=first.probabilities[rows],
        classes=first.classes,
        folds=np.zeros(80, int),
        repeats=np.repeat([0, 1], 40),
        units=[first.units[row] for row in rows],
    )
    assert too_few(many) == "Nothing was fitted: there are 40 images, fewer than 50."
    once = each_image_once(many)
    assert once.ids == first.ids and (once.repeats == 0).all()
