"""Costs against naive loops."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import Predictions, bootstrap, cheapest_decisions, cost_report

Build = Callable[..., Predictions]
MATRIX = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [10.0, 4.0, 0.0]])


def test_costs_equal_naive_loops(draw: Build) -> None:
    some = draw(150, 3, 40)
    found = cost_report(some, MATRIX, "cheapest", resamples=50)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["matrix"] == MATRIX.tolist()
    total, cheap, right, confusion = 0.0, 0.0, 0, [[0] * 3 for _ in range(3)]
    for row, label in zip(some.probabilities.tolist(), some.labels.tolist(), strict=True):
        total += MATRIX[label, row.index(max(row))]
        expected = [sum(row[i] * MATRIX[i, j] for i in range(3)) for j in range(3)]
        decided = expected.index(min(expected))
        cheap += MATRIX[label, decided]
        right += decided == label
        confusion[label][decided] += 1
    assert found["most_probable"]["total"] == pytest.approx(total)
    assert found["most_probable"]["mean"]["value"] == pytest.approx(total / 150)
    assert found["cheapest"]["total"] == pytest.approx(cheap)
    assert found["cheapest"]["mean"]["value"] == pytest.approx(cheap / 150)
    assert found["cheapest"]["accuracy"]["value"] == pytest.approx(right / 150)
    assert found["cheapest"]["confusion"] == confusion


def test_cheap_decisions_cost_less_where_probabilities_are_true() -> None:
    generator = np.random.default_rng(0)
    table = generator.dirichlet(np.ones(3), size=4000)
    labels = (table.cumsum(axis=1) < generator.uniform(size=(4000, 1))).sum(axis=1).clip(0, 2)
    cheap = MATRIX[labels, cheapest_decisions(table, MATRIX)].mean()
    assert cheap < MATRIX[labels, table.argmax(axis=1)].mean() * 0.95


def test_ties_take_the_first_and_equal_costs_the_most_probable() -> None:
    table = np.array([[0.5, 0.5], [0.2, 0.8]])
    assert cheapest_decisions(table, 1 - np.eye(2)).tolist() == [0, 1]
    assert cheapest_decisions(table, np.zeros((2, 2))).tolist() == [0, 0]


def test_errors_that_all_cost_1_make_the_mean_the_error_rate(draw: Build) -> None:
    """The interval, too, is the accuracy's: the same resamples of units."""
    some = draw(120, 3, 30)
    found = cost_report(some, 1 - np.eye(3), resamples=200, seed=4)
    samples = bootstrap(some, resamples=200, seed=4)
    assert samples is not None and found["cheapest"] is None
    low, high = np.percentile(1 - samples.overall["accuracy"], [2.5, 97.5])
    mean = found["most_probable"]["mean"]
    assert mean["value"] == pytest.approx(float((some.predicted != some.labels).mean()))
    assert (mean["low"], mean["high"]) == pytest.approx((low, high))


def test_repeats_are_averaged(build: Build) -> None:
    some = build([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]], [0, 1, 0, 1],
                 ids=["a", "b", "a", "b"], units=["a", "b", "a", "b"],
                 repeats=np.array([0, 0, 1, 1]))  # fmt: skip
    found = cost_report(some, np.array([[0.0, 4.0], [1.0, 0.0]]), resamples=0)["most_probable"]
    assert found == {"total": 2.0, "mean": {"value": 1.0, "low": None, "high": None}}


def test_one_unit_gives_no_interval(build: Build) -> None:
    some = build([[0.9, 0.1], [0.2, 0.8]], [0, 0], units=["u", "u"])
    mean = cost_report(some, 1 - np.eye(2))["most_probable"]["mean"]
    assert mean == {"value": 0.5, "low": None, "high": None}


def test_wrong_matrices_are_refused(build: Build) -> None:
    some = build([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    with pytest.raises(InputError, match=r"The cost matrix has shape \(3, 3\)"):
        cost_report(some, MATRIX)
    with pytest.raises(InputError) as caught:
        cost_report(some, np.array([[0.0, -1.0], [np.nan, 0.0]]))
    assert str(caught.value) == (
        "2 costs below 0 or not a number.\n  - a called b: -1.0\n  - b called a: nan"
    )
    with pytest.raises(InputError, match="Unknown decision 'cheap'"):
        cost_report(some, 1 - np.eye(2), "cheap")
