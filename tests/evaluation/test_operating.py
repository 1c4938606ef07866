"""Operating points: the wanted rates are reached, the least cost is least, results add up."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    TRIAGE,
    Costs,
    OperatingPoint,
    Predictions,
    Rates,
    abnormal_probability,
    calibration_fit,
    chain,
    crossfit_rows,
    fit_operating_point,
    is_abnormal,
    operating_fit,
    operating_results,
    threshold_at_sensitivity,
    threshold_at_specificity,
    thresholds_of_least_cost,
    wilson,
)

Build = Callable[..., Predictions]
Table = np.ndarray[Any, Any]


def scores(n: int, seed: int, decimals: int = 12) -> tuple[Table, Table]:
    generator = np.random.default_rng(seed)
    truth = generator.random(n) < 0.3
    truth[:2] = [True, False]
    return np.round(generator.beta(2 + 2 * truth, 4 - 2 * truth), decimals), truth


@pytest.mark.parametrize("wanted", [0.05, 0.5, 0.8, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("decimals", [12, 1])
def test_the_threshold_is_the_highest_that_reaches_the_sensitivity(
    wanted: float, decimals: int
) -> None:
    for seed in range(20):
        p, truth = scores(80, seed, decimals)
        threshold = threshold_at_sensitivity(p, truth, wanted)
        assert (p[truth] >= threshold).mean() >= wanted
        higher = p[p >= threshold].min()  # the next higher threshold that changes an answer
        assert (p[truth] > higher).mean() < wanted
        assert threshold not in p or threshold == 0


@pytest.mark.parametrize("wanted", [0.05, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("decimals", [12, 1])
def test_the_threshold_is_the_lowest_that_reaches_the_specificity(
    wanted: float, decimals: int
) -> None:
    for seed in range(20):
        p, truth = scores(80, seed, decimals)
        threshold = threshold_at_specificity(p, truth, wanted)
        assert (p[~truth] < threshold).mean() >= wanted
        lower = p[p < threshold].max()
        assert (p[~truth] < lower).mean() < wanted


def test_thresholds_at_the_ends() -> None:
    assert threshold_at_sensitivity([0.0, 1.0], [True, True], 0.9) == 0.0
    assert threshold_at_specificity([1.0], [False], 0.5) == math.nextafter(1, 2)
    assert threshold_at_specificity([0.5], [False], 0.5) == 0.75


def cost_of(p: Table, truth: Table, costs: Costs, low: float, high: float) -> float:
    total = 0.0
    for score, yes in zip(p, truth, strict=True):
        if score >= high:
            total += 0 if yes else costs.false_alarm
        elif score < low:
            total += costs.missed if yes else 0
        else:
            assert costs.refer is not None
            total += costs.refer
    return total


@pytest.mark.parametrize("decimals", [12, 1])
@pytest.mark.parametrize(
    "costs",
    [
        Costs(1, 1),
        Costs(10, 1),
        Costs(1, 30),
        Costs(10, 1, 0.4),
        Costs(5, 5, 0.1),
        Costs(1, 1, 2),
        Costs(1e-9, 1e-10, 2e-11),
    ],
)
def test_the_least_cost_equals_brute_force(costs: Costs, decimals: int) -> None:
    for seed in range(12):
        p, truth = scores(25, seed, decimals)
        low, high = thresholds_of_least_cost(p, truth, costs)
        cuts = [0.0, *sorted(set(p.tolist())), 1.1]
        pairs = itertools.combinations_with_replacement(cuts, 2)
        if costs.refer is None:
            pairs = ((cut, cut) for cut in cuts)  # type: ignore[assignment]
            assert low == high
        table = {pair: cost_of(p, truth, costs, *pair) for pair in pairs}
        least = min(table.values())
        assert cost_of(p, truth, costs, low, high) == pytest.approx(least, abs=0, rel=1e-9)
        best = [pair for pair, cost in table.items() if cost <= least * (1 + 1e-9)]
        assert (p < low).sum() == min((p < pair[0]).sum() for pair in best)  # clears the fewest


def test_a_cheap_referral_refers_all_and_a_dear_one_none() -> None:
    p, truth = scores(60, 1)
    low, high = thresholds_of_least_cost(p, truth, Costs(1, 1, 1e-6))
    referred = ((p >= low) & (p < high)).mean()
    assert referred > 0.5
    low, high = thresholds_of_least_cost(p, truth, Costs(1, 1, 100))
    assert low == high


def noisy(draw: Build, seed: int = 0, n: int = 600) -> Predictions:
    return draw(n, 3, 150, seed=seed)


def test_the_wanted_rates_are_reached_on_the_images_they_were_fitted_on(draw: Build) -> None:
    one = noisy(draw)
    wanted = Rates(sensitivity=0.9, specificity=0.85)
    point = fit_operating_point(one, ["b", "c"], wanted)
    truth = is_abnormal(one, ["b", "c"])
    assert (truth == np.isin(one.labels, [1, 2])).all()
    called, triage = point.called(one.probabilities), point.triage(one.probabilities)
    assert called[truth].mean() >= 0.9
    assert (triage[truth] == TRIAGE.index("clear")).mean() <= 0.1
    assert (triage[~truth] == TRIAGE.index("abnormal")).mean() <= 0.15
    assert point.refer[0] == point.threshold < point.refer[1]
    p = one.probabilities[:, 1] + one.probabilities[:, 2]
    assert point.probability(one.probabilities) == pytest.approx(p)
    naive = [
        "abnormal" if x >= point.refer[1] else "clear" if x < point.refer[0] else "refer" for x in p
    ]
    assert [TRIAGE[place] for place in triage] == naive


def test_a_threshold_belongs_to_what_is_above_it() -> None:
    point = OperatingPoint(("a", "b"), ("b",), Rates(), 0.5, (0.25, 0.75))
    p = np.array([0.24, 0.25, 0.5, 0.75])
    table = np.stack([1 - p, p], axis=1)
    assert point.called(table).tolist() == [False, False, True, True]
    names = [TRIAGE[place] for place in point.triage(table)]
    assert names == ["clear", "refer", "refer", "abnormal"]


def test_where_one_threshold_reaches_both_nothing_is_referred(build: Build) -> None:
    p = np.r_[np.linspace(0.01, 0.5, 50), np.linspace(0.45, 0.99, 50)]
    one = build(np.stack([1 - p, p], axis=1), [0] * 50 + [1] * 50)
    point = fit_operating_point(one, ["b"], Rates(0.8, 0.8))
    assert point.refer == (point.threshold, point.threshold)
    called = point.called(one.probabilities)
    assert called[50:].all(), "less is missed than was allowed"
    assert 0.8 <= (~called[:50]).mean() < 0.85


def test_cross_fitted_results_are_honest_and_have_intervals(draw: Build) -> None:
    one = noisy(draw)
    fit = chain(calibration_fit("temperature"), operating_fit(["b", "c"], Rates(0.9, 0.9)))
    answers = crossfit_rows(one, fit)
    found = operating_results(answers, one, ["b", "c"], resamples=200)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    truth = is_abnormal(one, ["b", "c"])
    called = answers[:, 0] == 1
    assert (found["n"], found["abnormal"]) == (600, int(truth.sum()))
    naive = {
        "sensitivity": called[truth].mean(),
        "specificity": (~called[~truth]).mean(),
        "ppv": truth[called].mean(),
        "npv": (~truth[~called]).mean(),
    }
    for name, value in naive.items():
        score = found[name]
        assert score["value"] == pytest.approx(value)
        assert score["low"] < value < score["high"]
    assert found["sensitivity"]["value"] == pytest.approx(0.9, abs=0.04)
    triage = found["triage"]
    assert sum(triage[name]["value"] for name in TRIAGE) == pytest.approx(1)
    clear = answers[:, 1] == 0
    assert triage["missed"]["value"] == pytest.approx(clear[truth].mean())
    assert triage["clear_right"]["value"] == pytest.approx((~truth[clear]).mean())


def test_a_perfect_sensitivity_has_an_interval(build: Build) -> None:
    one = build([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20, [0] * 20 + [1] * 20)
    answers = np.repeat([[0, 0], [1, 2]], 20, axis=0)
    found = operating_results(answers, one, ["b"])
    low, high = wilson(20, 20)
    assert found["sensitivity"] == {"value": 1.0, "low": low, "high": high}
    low, high = wilson(0, 20)
    assert found["triage"]["missed"] == {"value": 0.0, "low": low, "high": high}


@pytest.mark.parametrize("wanted", [Rates(0.97, 0.8), Costs(20, 1, 0.3), Costs(3, 2)])
def test_points_round_trip(draw: Build, wanted: Rates | Costs) -> None:
    one = noisy(draw, seed=2, n=200)
    point = fit_operating_point(one, ["c"], wanted)
    told = json.loads(json.dumps(point.to_json(), allow_nan=False))
    assert set(told) == {"abnormal", "wanted", "threshold", "refer"}
    again = OperatingPoint.from_json(told | {"results": {}}, one.classes)
    assert again == point
    assert (again.triage(one.probabilities) == point.triage(one.probabilities)).all()
    assert point.called(np.empty((0, 3))).shape == (0,)


def test_the_sum_is_never_above_one() -> None:
    table = np.array([[0.0, 0.7, 0.30000000000000004]])
    assert abnormal_probability(table, "abc", ["b", "c"]).tolist() == [1.0]


def test_wrong_classes_are_refused(draw: Build) -> None:
    one = noisy(draw, n=100)
    for abnormal, message in (
        (["B1"], "The abnormal class 'B1' is none of the model's"),
        ([], "0 of the 3 classes count as abnormal"),
        (["a", "b", "c"], "3 of the 3 classes count as abnormal"),
    ):
        with pytest.raises(InputError, match=message):
            fit_operating_point(one, abnormal, Rates())


def test_images_of_one_kind_are_refused(build: Build) -> None:
    for label, missing in ((0, "abnormal"), (1, "normal")):
        one = build([[0.5, 0.5]] * 4, [label] * 4)
        for wanted in (Rates(), Costs(1, 1)):
            with pytest.raises(InputError, match=f"There is no {missing} image to choose"):
                fit_operating_point(one, ["b"], wanted)
    with pytest.raises(InputError, match="There is no abnormal image"):
        threshold_at_sensitivity([0.5], [False], 0.9)
    with pytest.raises(InputError, match="There is no normal image"):
        threshold_at_specificity([0.5], [True], 0.9)


def test_bad_numbers_are_refused() -> None:
    for p, truth in (([], []), ([0.5], [True, False]), ([[0.5]], [[True]])):
        with pytest.raises(InputError, match="one of each for at least one image"):
            threshold_at_sensitivity(p, truth, 0.9)
    with pytest.raises(InputError, match="1 score that are not numbers.\n  - row 1"):
        thresholds_of_least_cost([0.5, np.nan], [True, False], Costs(1, 1))
    for share in (0, 1, np.nan):
        with pytest.raises(InputError, match="sensitivity = .*\nExpected: a number between"):
            Rates(sensitivity=share)
    with pytest.raises(InputError, match="specificity = 1"):
        Rates(specificity=1)
    for costs in ((0, 1), (1, -1), (1, np.inf), (np.nan, 1), (1, 1, 0)):
        with pytest.raises(InputError, match="Expected: numbers above 0"):
            Costs(*costs)


def test_what_cannot_be_read_is_refused(draw: Build) -> None:
    one = noisy(draw, n=100)
    told = fit_operating_point(one, ["c"], Rates()).to_json()
    for change in (
        {"threshold": "x"},
        {"refer": [0.1]},
        {"wanted": {"sensitivty": 0.9}},
        {"wanted": None},
    ):
        with pytest.raises(InputError, match="The decision part cannot be read"):
            OperatingPoint.from_json(told | change, one.classes)
    with pytest.raises(InputError, match="low <= high"):
        OperatingPoint.from_json(told | {"refer": [0.9, 0.1]}, one.classes)
    with pytest.raises(InputError, match="none of the model's"):
        OperatingPoint.from_json(told, ("a", "b"))
    with pytest.raises(InputError, match=r"The answers have shape \(2, 2\)"):
        operating_results([[0, 0], [1, 1]], one, ["c"])
