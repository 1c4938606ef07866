"""The vectorised scores: weights of 1 equal scikit-learn, whole weights equal repeated rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cytolens.evaluation import OVERALL, PER_CLASS, PointScores, Predictions, point_scores
from cytolens.evaluation.counts import ScoreArrays
from cytolens.evaluation.resampling import Resampler, resampled, unit_weights

Build = Callable[..., Predictions]


def assert_same(arrays: ScoreArrays, row: int, points: PointScores) -> None:
    for name in OVERALL:
        value = points.overall[name]
        expected = np.nan if value is None else value
        assert arrays.overall[name][row] == pytest.approx(expected, abs=1e-10, nan_ok=True), name
    for name in PER_CLASS:
        values = [np.nan if value is None else value for value in points.per_class[name]]
        assert arrays.per_class[name][row] == pytest.approx(values, abs=1e-10, nan_ok=True), name


@pytest.mark.parametrize("decimals", [None, 0, 1])
@pytest.mark.parametrize(("n", "k"), [(60, 2), (200, 3), (300, 7)])
def test_weights_of_one_equal_scikit_learn(
    draw: Build, n: int, k: int, decimals: int | None
) -> None:
    one = draw(n, k, 25, seed=k, decimals=decimals)
    names = sorted(set(one.units))
    arrays = Resampler(one, names).scores(np.ones((1, len(names)), np.int64))
    assert_same(arrays, 0, point_scores(one.labels, one.probabilities))


@pytest.mark.parametrize("decimals", [None, 0, 1])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_whole_weights_equal_scikit_learn_on_repeated_rows(
    draw: Build, k: int, decimals: int | None
) -> None:
    one = draw(150, k, 30, seed=10 + k, decimals=decimals)
    names = sorted(set(one.units))
    weights = np.random.default_rng(1).integers(4, size=(20, len(names)))
    arrays = Resampler(one, names).scores(weights)
    place = [names.index(unit) for unit in one.units]
    for row, drawn in enumerate(weights):
        times = drawn[place]
        labels, table = (np.repeat(column, times, 0) for column in (one.labels, one.probabilities))
        assert_same(arrays, row, point_scores(labels, table))


def test_a_resample_without_a_scored_class_has_no_macro_average(build: Build) -> None:
    one = build([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], [0, 0, 1], units=["u", "u", "v"])
    arrays = Resampler(one, ["u", "v"]).scores(np.array([[2, 0], [0, 2], [1, 1]]))
    assert arrays.overall["accuracy"].tolist() == [0.5, 1.0, pytest.approx(2 / 3)]
    undefined = ("balanced_accuracy", "macro_precision", "macro_f1", "auc", "kappa", "mcc")
    for name in undefined:
        assert np.isnan(arrays.overall[name]).tolist() == [True, True, False], name
    assert np.isnan(arrays.per_class["recall"][0]).tolist() == [False, True]


def test_weights_draw_whole_units_with_replacement() -> None:
    chunks = list(unit_weights(np.random.default_rng(0), 50, 3000, 1000))
    weights = np.concatenate(chunks)
    assert len(chunks) == 3
    assert weights.shape == (3000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)  # multinomial


def test_memory_is_bounded_by_chunks() -> None:
    first = next(unit_weights(np.random.default_rng(0), 20_000, 1000, 20_000))
    assert first.shape == (50, 20_000)


def test_ranking_can_be_left_out(draw: Build) -> None:
    one = draw(50, 3, 10)
    with_it = resampled(one, np.random.default_rng(0), 20)
    without = resampled(one, np.random.default_rng(0), 20, ranked=False)
    assert set(with_it.overall) - set(without.overall) == {"auc", "average_precision"}
    assert (with_it.overall["accuracy"] == without.overall["accuracy"]).all()
