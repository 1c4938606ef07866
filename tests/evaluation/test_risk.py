"""Risk and coverage, AURC and net benefit against loops, closed forms and the formula by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    Predictions,
    acceptance_fit,
    aurc,
    best_aurc,
    confidence_for_risk,
    crossfit_rows,
    decision_curve,
    net_benefit,
    risk_coverage,
    risk_report,
)
from cytolens.evaluation.risk import POINTS, _areas

Build = Callable[..., Predictions]
Table = np.ndarray[Any, Any]


def answers(n: int, seed: int, decimals: int = 12) -> tuple[Table, Table]:
    generator = np.random.default_rng(seed)
    confidence = np.round(generator.uniform(0.3, 1, n), decimals)
    return confidence, generator.random(n) < confidence


def naive_aurc(confidence: Table, correct: Table, orders: int) -> float:
    """Return the mean area over random orders of what is equally sure."""
    generator, areas = np.random.default_rng(0), []
    for _ in range(orders):
        order = np.lexsort((generator.random(len(confidence)), -confidence))
        wrong, total = 0, 0.0
        for i, row in enumerate(order, start=1):
            wrong += not correct[row]
            total += wrong / i
        areas.append(total / len(confidence))
    return float(np.mean(areas))


@pytest.mark.parametrize("decimals", [12, 1])
def test_the_curve_equals_a_naive_loop(decimals: int) -> None:
    confidence, correct = answers(60, 1, decimals)
    coverage, risk = risk_coverage(confidence, correct)
    levels = sorted(set(confidence.tolist()), reverse=True)
    assert len(coverage) == len(levels)
    for place, level in enumerate(levels):
        inside = [right for c, right in zip(confidence, correct, strict=True) if c >= level]
        assert coverage[place] == pytest.approx(len(inside) / 60)
        assert risk[place] == pytest.approx(1 - sum(inside) / len(inside))
    assert coverage[-1] == 1 and risk[-1] == pytest.approx(1 - correct.mean())


def test_the_area_equals_a_naive_loop() -> None:
    confidence, correct = answers(50, 2)
    assert aurc(confidence, correct) == pytest.approx(naive_aurc(confidence, correct, 1))
    tied, correct = answers(50, 3, decimals=1)
    assert aurc(tied, correct) == pytest.approx(naive_aurc(tied, correct, 4000), abs=2e-3)


def test_the_area_has_its_closed_forms() -> None:
    correct = np.r_[np.ones(80, bool), np.zeros(20, bool)]
    perfect = aurc(np.linspace(1, 0.1, 100), correct)
    assert perfect == pytest.approx(best_aurc(20, 100))
    assert perfect == pytest.approx(sum(j / (80 + j) for j in range(1, 21)) / 100)
    assert aurc(np.full(100, 0.7), correct) == pytest.approx(0.2)  # says nothing: the error rate
    worst = aurc(np.linspace(0.1, 1, 100), correct)
    assert worst == pytest.approx((20 + sum(20 / i for i in range(21, 101))) / 100)
    assert aurc([0.5], [True]) == best_aurc(0, 1) == 0
    e = 0.2  # e + (1 - e) ln(1 - e), the limit for many images
    assert best_aurc(200_000, 1_000_000) == pytest.approx(e + (1 - e) * math.log(1 - e), abs=1e-5)


def test_the_weighted_area_is_that_of_repeated_images() -> None:
    confidence, correct = answers(40, 4, decimals=1)
    weights = np.random.default_rng(0).integers(0, 4, size=(20, 10))
    units = np.arange(40) % 10
    found = _areas(confidence, correct, units, weights)
    for row, area in zip(weights, found, strict=True):
        times = row[units]
        expected = aurc(np.repeat(confidence, times), np.repeat(correct, times))
        assert area == pytest.approx(expected)


@pytest.mark.parametrize("risk", [0.02, 0.1, 0.3])
def test_the_least_confidence_for_a_risk_equals_brute_force(risk: float) -> None:
    for seed in range(10):
        confidence, correct = answers(150, seed, decimals=2)
        allowed = [
            level
            for level in set(confidence.tolist())
            if ((~correct)[confidence >= level].sum() + 1) / ((confidence >= level).sum() + 1)
            <= risk + 1e-12
        ]
        found = confidence_for_risk(confidence, correct, risk)
        assert found == (min(allowed) if allowed else None)


def test_few_sure_images_do_not_look_safe() -> None:
    assert confidence_for_risk([0.9] * 98, [True] * 98, 0.01) is None
    assert confidence_for_risk([0.9] * 99, [True] * 99, 0.01) == 0.9


def test_the_report_tells_what_can_be_left_to_the_machine(draw: Build) -> None:
    one = draw(500, 2, 120, seed=5)
    found = risk_report(one, risks=[0.05, 0.2, 0.9], resamples=200)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    confidence = one.probabilities.max(axis=1)
    correct = one.predicted == one.labels
    assert found["n"] == 500
    assert found["error"]["value"] == pytest.approx((~correct).mean())
    assert found["aurc"]["value"] == aurc(confidence, correct)
    assert found["aurc"]["low"] < found["aurc"]["value"] < found["aurc"]["high"]
    assert found["best_aurc"] < found["aurc"]["value"] < found["error"]["value"]
    assert [row["wanted"] for row in found["left"]] == [0.05, 0.2, 0.9]
    for row in found["left"]:
        taken = crossfit_rows(one, acceptance_fit(row["wanted"]))
        assert row["share"]["value"] == pytest.approx(taken.mean())
        if taken.any():
            assert row["risk"]["value"] == pytest.approx((~correct)[taken].mean())
        assert row["confidence"] == confidence_for_risk(confidence, correct, row["wanted"])
    assert found["left"][2]["share"]["value"] > 0.99
    curve = found["curve"]
    assert len(curve) == POINTS and curve[-1]["coverage"] == 1
    assert curve[-1]["risk"] == found["error"]
    for point in curve[::9]:
        inside = confidence >= point["confidence"]
        assert point["coverage"] == inside.mean()
        assert point["risk"]["value"] == pytest.approx((~correct)[inside].mean())


def test_nothing_is_left_to_a_poor_machine(build: Build) -> None:
    one = build([[0.6, 0.4]] * 40, [0, 1] * 20)
    [row] = risk_report(one, risks=[0.05], resamples=50)["left"]
    assert row["confidence"] is None and row["share"]["value"] == 0
    assert row["risk"] == {"value": None, "low": None, "high": None}


def test_net_benefit_by_hand() -> None:
    p = [0.9, 0.8, 0.3, 0.6, 0.1, 0.2]
    truth = [True, True, True, False, False, False]
    # at .5: 2 hits, 1 false alarm of weight 1; at .25: 3 hits, 1 false alarm of weight 1/3
    assert net_benefit(p, truth, 0.5) == pytest.approx(2 / 6 - 1 / 6)
    assert net_benefit(p, truth, 0.25) == pytest.approx(3 / 6 - 1 / 6 / 3)
    assert net_benefit(p, truth, 0.3) == pytest.approx(3 / 6 - 1 / 6 * 3 / 7)  # p >= t acts


def test_the_decision_curve_has_the_lines_of_all_and_none(draw: Build) -> None:
    one = draw(300, 3, 80, seed=6)
    rows = decision_curve(one, ["b", "c"], resamples=100)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert [row["threshold"] for row in rows] == pytest.approx(np.arange(1, 20) / 20)
    truth = one.labels > 0
    p = one.probabilities[:, 1:].sum(axis=1)
    for row in rows:
        t = row["threshold"]
        everyone = truth.mean() - (1 - truth.mean()) * t / (1 - t)
        assert row["all"]["value"] == pytest.approx(everyone)
        assert row["none"] == 0.0
        assert row["model"]["value"] == pytest.approx(net_benefit(p, truth, t))
        assert row["gain"]["value"] == pytest.approx(row["model"]["value"] - max(0, everyone))
        assert row["model"]["low"] <= row["model"]["value"] <= row["model"]["high"]
    assert rows[0]["model"]["value"] == pytest.approx(rows[0]["all"]["value"], abs=0.02)


def test_the_curve_acts_from_the_threshold_on(build: Build) -> None:
    one = build([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]], [1, 0, 0])
    [row] = decision_curve(one, ["b"], thresholds=[0.25], resamples=0)
    value = 1 / 3 - 2 / 3 / 3
    assert row["model"] == {"value": pytest.approx(value), "low": None, "high": None}
    assert net_benefit([0.25, 0.25, 0.5], [True, False, False], 0.25) == pytest.approx(value)


def test_bad_input_is_refused(draw: Build) -> None:
    with pytest.raises(InputError, match="one of each for at least one image"):
        risk_coverage([], [])
    with pytest.raises(InputError, match="1 score that are not numbers"):
        aurc([np.nan], [True])
    for risk in (0, 1, -1, np.nan):
        with pytest.raises(InputError, match="risk = .*\nExpected: a number between 0 and 1"):
            confidence_for_risk([0.5], [True], risk)
    for threshold in (0, 1, np.nan):
        with pytest.raises(InputError, match="threshold = .*\nExpected: a number between 0 and 1"):
            net_benefit([0.5], [True], threshold)
    one = draw(60, 3, 20)
    with pytest.raises(InputError, match="threshold = 1"):
        decision_curve(one, ["b"], thresholds=[1])
    with pytest.raises(InputError, match="none of the model's"):
        decision_curve(one, ["z"])
    with pytest.raises(InputError, match="All images are of one unit"):
        risk_report(draw(60, 3, 1))
