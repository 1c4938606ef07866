"""Differences between two prediction sets: paired on the same images, unpaired on others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    OVERALL,
    Predictions,
    paired_difference,
    point_scores,
    unpaired_difference,
)

Build = Callable[..., Predictions]


def sharper(one: Predictions, share: float, **changes: Any) -> Predictions:
    """Return the same images with a share of probability moved to the true class."""
    truth = np.eye(len(one.classes))[one.labels]
    columns = {**vars(one), "probabilities": (1 - share) * one.probabilities + share * truth}
    return Predictions(**(columns | changes))


@pytest.mark.parametrize("score", OVERALL)
def test_the_value_is_second_minus_first(draw: Build, score: str) -> None:
    first = draw(120, 3, 40)
    second = sharper(first, 0.2)
    expected = [point_scores(x.labels, x.probabilities).overall[score] for x in (first, second)]
    assert expected[0] is not None and expected[1] is not None
    for compare in (paired_difference, unpaired_difference):
        found = compare(first, second, score, resamples=100)
        assert found.value == pytest.approx(expected[1] - expected[0])
        assert found.low is not None and found.high is not None and found.value is not None
        assert found.low <= found.value <= found.high


def test_paired_intervals_equal_scipy(draw: Build) -> None:
    first = draw(200, 2, 200)
    first = sharper(first, 0.0, units=first.ids)
    second = sharper(first, 0.15)
    found = paired_difference(first, second, resamples=4000)
    hits = [(one.predicted == one.labels).astype(float) for one in (first, second)]
    expected = stats.bootstrap(
        (hits[1] - hits[0],),
        np.mean,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.008)


def test_unpaired_intervals_equal_the_normal_approximation(draw: Build) -> None:
    first, second = draw(900, 2, 900, seed=1), draw(700, 2, 700, seed=2)
    found = unpaired_difference(first, second, resamples=2000)
    errors = 0.0
    for one in (first, second):
        hits = (one.predicted == one.labels).astype(float)
        index = np.unique(one.units, return_inverse=True)[1]
        residual = np.bincount(index, weights=hits - hits.mean())
        errors += (residual**2).sum() / len(hits) ** 2
    assert found.low is not None and found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * errors**0.5, rel=0.08)


def test_pairing_narrows_the_interval_of_alike_models(draw: Build) -> None:
    first = draw(300, 3, 60)
    second = sharper(first, 0.05)
    widths = []
    for compare in (paired_difference, unpaired_difference):
        found = compare(first, second, "auc", resamples=300)
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] < widths[1] / 3


def test_the_order_of_the_rows_does_not_matter(draw: Build) -> None:
    first = draw(60, 2, 20)
    back = Predictions(
        ids=first.ids[::-1],
        labels=first.labels[::-1],
        probabilities=first.probabilities[::-1],
        classes=first.classes,
        folds=first.folds,
        repeats=first.repeats,
        units=first.units[::-1],
    )
    found = paired_difference(first, back, "auc", resamples=100)
    assert (found.value, found.low, found.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)


def test_the_seed_decides(draw: Build) -> None:
    first, second = draw(60, 2, 20), draw(60, 2, 20, seed=1)
    for seed in (0, 1):
        one, two = (unpaired_difference(first, second, resamples=50, seed=seed) for _ in range(2))
        assert one == two
    assert unpaired_difference(first, second, resamples=50, seed=1) != unpaired_difference(
        first, second, resamples=50, seed=2
    )


def test_one_unit_or_an_undefined_score_gives_none(build: Build) -> None:
    one = build([[0.9, 0.1], [0.3, 0.7]], [0, 0], units=["u", "u"])
    for compare in (paired_difference, unpaired_difference):
        found = compare(one, one)
        assert (found.value, found.low, found.high) == (0.0, None, None)
        assert compare(one, one, "auc").value is None


def test_sets_that_cannot_be_paired_are_refused(draw: Build) -> None:
    first = draw(3, 2, 3)
    with pytest.raises(InputError) as caught:
        paired_difference(first, sharper(first, 0.1, ids=["0.png", "1.png", "9.png"]))
    assert str(caught.value) == (
        "A paired comparison needs the same images; 2 images differ in presence, label or unit.\n"
        "  - 2.png\n  - 9.png\nWay out: compare with unpaired_difference."
    )
    with pytest.raises(InputError) as caught:
        paired_difference(first, sharper(first, 0.1, classes=("a", "c")))
    assert str(caught.value) == "A paired comparison needs the same classes.\n  - a, b\n  - a, c"
    with pytest.raises(InputError) as caught:
        paired_difference(first, first, "acuracy")
    assert str(caught.value) == (
        "Unknown score 'acuracy' (did you mean 'accuracy'?).\n"
        f"Expected: one of {', '.join(OVERALL)}"
    )
