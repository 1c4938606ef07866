"""Intervals: closed forms, coverage under clustering, determinism, undefined resamples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    Predictions,
    bootstrap,
    percentile_interval,
    unit_ratio,
    unit_ratios,
    unit_shares,
    wilson,
)

Build = Callable[..., Predictions]


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (3, 10), (97, 100), (1, 1)])
def test_wilson_equals_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(InputError) as caught:
        wilson(4, 3)
    assert str(caught.value) == "4 successes in 3 trials.\nExpected: 0 <= successes <= trials"


def test_interval_of_image_resamples_equals_scipy(draw: Build, build: Build) -> None:
    grouped = draw(300, 3, 300)
    one = build(grouped.probabilities, grouped.labels)
    samples = bootstrap(one, resamples=4000, ranked=False)
    assert samples is not None
    correct = one.predicted == one.labels
    low, high = percentile_interval(float(correct.mean()), samples.overall["accuracy"])
    expected = stats.bootstrap(
        (correct,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.005)


def clustered(build: Build, seed: int) -> Predictions:
    """Draw 40 groups of 5 to 15 images; a group's accuracy is Beta(3, 1), of mean 3/4."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(5, 16, size=40)
    groups = np.repeat(np.arange(40), sizes)
    correct = generator.random(len(groups)) < generator.beta(3, 1, size=40)[groups]
    labels = generator.integers(2, size=len(groups))
    table = np.eye(2)[np.where(correct, labels, 1 - labels)]
    return build(table, labels, units=[f"g{group}" for group in groups])


def test_resampling_groups_covers_and_resampling_images_does_not(build: Build) -> None:
    covered = {"group": 0, "image": 0}
    sets = 600
    for seed in range(sets):
        grouped = clustered(build, seed)
        single = build(grouped.probabilities, grouped.labels)
        for name, one in (("group", grouped), ("image", single)):
            samples = bootstrap(one, resamples=400, seed=seed, ranked=False)
            assert samples is not None
            value = float((one.predicted == one.labels).mean())
            low, high = percentile_interval(value, samples.overall["accuracy"])
            assert low is not None and high is not None
            covered[name] += low <= 0.75 <= high
    assert 0.91 * sets <= covered["group"] <= 0.98 * sets
    assert covered["image"] < 0.85 * sets


def test_the_seed_decides(draw: Build) -> None:
    one = draw(100, 3, 20)
    first, again, other = (bootstrap(one, resamples=50, seed=seed) for seed in (4, 4, 5))
    assert first is not None and again is not None and other is not None
    for name, values in first.overall.items():
        assert np.array_equal(values, again.overall[name], equal_nan=True), name
    assert not np.array_equal(first.overall["accuracy"], other.overall["accuracy"])


def test_the_order_of_the_rows_does_not_matter(draw: Build) -> None:
    one = draw(100, 3, 20)
    order = np.random.default_rng(0).permutation(100)
    shuffled = Predictions(
        ids=[one.ids[i] for i in order],
        labels=one.labels[order],
        probabilities=one.probabilities[order],
        classes=one.classes,
        folds=one.folds,
        repeats=one.repeats,
        units=[one.units[i] for i in order],
    )
    first, second = bootstrap(one, resamples=50), bootstrap(shuffled, resamples=50)
    assert first is not None and second is not None
    for name, values in first.overall.items():
        assert second.overall[name] == pytest.approx(values, abs=1e-12), name


def test_repeats_do_not_narrow_the_interval(draw: Build) -> None:
    once = draw(120, 2, 30)
    twice = Predictions(
        ids=once.ids * 2,
        labels=np.tile(once.labels, 2),
        probabilities=np.tile(once.probabilities, (2, 1)),
        classes=once.classes,
        folds=np.tile(once.folds, 2),
        repeats=np.repeat([0, 1], 120),
        units=once.units * 2,
    )
    first, second = bootstrap(once, resamples=50), bootstrap(twice, resamples=50)
    assert first is not None and second is not None
    assert second.overall["auc"] == pytest.approx(first.overall["auc"], nan_ok=True)


def test_undefined_samples_are_left_out_up_to_a_twentieth() -> None:
    samples = np.linspace(0.0, 1.0, 1001)
    samples[:50] = np.nan
    low, high = percentile_interval(0.5, samples)
    expected = np.percentile(samples[50:], [2.5, 97.5])
    assert (low, high) == pytest.approx(tuple(expected))
    samples[50] = np.nan
    assert percentile_interval(0.5, samples) == (None, None)


def test_intervals_hold_the_value() -> None:
    samples = np.linspace(0.2, 0.3, 101)
    assert percentile_interval(0.1, samples) == (0.1, pytest.approx(0.2975))
    assert percentile_interval(0.4, samples) == (pytest.approx(0.2025), 0.4)
    assert percentile_interval(None, samples) == (None, None)


def test_one_unit_or_no_resamples_give_no_interval(draw: Build) -> None:
    assert bootstrap(draw(20, 2, 1)) is None
    assert bootstrap(draw(20, 2, 5), resamples=0) is None
    assert percentile_interval(0.5, None) == (None, None)
    with pytest.raises(InputError) as caught:
        bootstrap(draw(20, 2, 5), resamples=-1)
    assert str(caught.value) == "resamples = -1 is negative.\nExpected: 0 or more"


def test_a_share_has_the_interval_of_the_bootstrap(draw: Build) -> None:
    """Accuracy as a share of rows, recall as a share of the rows of a class."""
    one = draw(200, 3, 40)
    samples = bootstrap(one)
    assert samples is not None
    right, of_class = one.predicted == one.labels, one.labels == 1
    accuracy = unit_ratio(right, None, one.units)
    low, high = percentile_interval(float(right.mean()), samples.overall["accuracy"])
    assert accuracy == {"value": pytest.approx(right.mean()), "low": low, "high": high}
    [first, recall] = unit_shares([(right, None), (right, of_class)], one.units)
    assert first == accuracy
    value = right[of_class].mean()
    low, high = percentile_interval(float(value), samples.per_class["recall"][:, 1])
    assert recall == {"value": pytest.approx(value), "low": low, "high": high}
    both = unit_ratios([(right, None), (right & of_class, of_class)], one.units)
    assert both == [accuracy, recall]


def test_a_share_of_all_or_nothing_is_not_certain() -> None:
    units = [f"g{row // 4}" for row in range(40)]
    half = np.arange(40) < 20  # five units
    none, every = unit_shares([(~half, half), (half, half)], units)
    assert none == {"value": 0.0, "low": 0.0, "high": wilson(0, 5)[1]}
    assert every == {"value": 1.0, "low": wilson(5, 5)[0], "high": 1.0}
    [bare] = unit_shares([(half, half)], units, resamples=0)
    assert bare == {"value": 1.0, "low": None, "high": None}
    assert unit_ratio(half & half, half, units)["low"] == 1.0
    assert unit_ratio(half, np.zeros(40), units)["value"] is None


def test_ratios_refuse_columns_of_another_length() -> None:
    with pytest.raises(InputError, match=r"There are 2 units for values of shape \(3,\)"):
        unit_ratio([1, 2, 3], None, ["a", "b"])
