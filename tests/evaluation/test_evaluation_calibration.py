"""Reliability, ECE and temperature scaling against naive loops and known answers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    Predictions,
    apply_temperature,
    ece,
    fit_temperature,
    reliability,
)
from cytolens.evaluation.calibration import confidence_bins, log_losses, squared_errors

Build = Callable[..., Predictions]


def naive_ece(labels: np.ndarray, table: np.ndarray, bins: int) -> float:
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        inside = [
            (max(row), int(np.argmax(row)) == label)
            for row, label in zip(table, labels, strict=True)
            if low < max(row) <= high
        ]
        if inside:
            gap = np.mean([c for c, _ in inside]) - np.mean([hit for _, hit in inside])
            total += abs(gap) * len(inside) / len(labels)
    return total


def test_ece_equals_a_naive_loop(draw: Build) -> None:
    one = draw(400, 3, 10)
    found = ece(one.labels, one.probabilities)
    assert found == pytest.approx(naive_ece(one.labels, one.probabilities, 15))


def test_bins_hold_their_upper_edge_and_zero_is_in_the_first() -> None:
    confidence = np.array([0.0, 0.1, 0.2, 0.2 + 1e-9, 0.8, 1.0])
    assert confidence_bins(confidence, 5).tolist() == [0, 0, 0, 1, 3, 4]


def test_reliability_counts_every_image_once(draw: Build) -> None:
    one = draw(300, 4, 10)
    rows = reliability(one.labels, one.probabilities)
    assert len(rows) == 15
    assert sum(row["n"] for row in rows) == 300  # type: ignore[misc]
    assert rows[0] == {"low": 0.0, "high": 1 / 15, "confidence": None, "accuracy": None, "n": 0}
    full = [row for row in rows if row["n"]]
    gaps = [abs(r["confidence"] - r["accuracy"]) * r["n"] for r in full]  # type: ignore[operator]
    assert sum(gaps) / 300 == pytest.approx(ece(one.labels, one.probabilities))


def test_brier_and_log_loss_equal_scikit_learn(draw: Build) -> None:
    one = draw(100, 2, 10)
    brier = sk.brier_score_loss(one.labels, one.probabilities[:, 1])
    assert squared_errors(one.labels, one.probabilities).mean() == pytest.approx(2 * brier)
    expected = sk.log_loss(one.labels, one.probabilities)
    assert log_losses(one.labels, one.probabilities).mean() == pytest.approx(expected)


def test_log_loss_is_clipped() -> None:
    losses = log_losses(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert losses.tolist() == [-math.log(1e-15), 0.0]


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_temperature_is_the_maximum_likelihood(true: float) -> None:
    generator = np.random.default_rng(3)
    clean = generator.normal(size=(4000, 3)) * 2
    labels = np.array([generator.choice(3, p=row) for row in softmax(clean, axis=1)])
    logits = clean * true
    fitted = fit_temperature(logits, labels)

    def loss(log_temperature: np.ndarray) -> float:
        scaled = logits / np.exp(log_temperature[0])
        return float(-log_softmax(scaled, axis=1)[np.arange(4000), labels].mean())

    assert fitted.value == pytest.approx(np.exp(minimize(loss, [0.0]).x[0]), rel=1e-3)
    assert fitted.value == pytest.approx(true, rel=0.06)
    assert fitted.log_loss_before == pytest.approx(loss(np.zeros(1)))
    assert fitted.log_loss_after <= fitted.log_loss_before
    assert fitted.decided


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([[3.0, 0.0], [0.0, 3.0]], [0, 1]),
        ([[0.3, 0.0], [0.0, 0.3]], [0, 1]),
        ([[3.0, 0.0], [0.0, 3.0]], [1, 0]),
        ([[1.0, 1.0]], [0]),
    ],
    ids=["all right", "all right but unsure", "all wrong", "alike"],
)
def test_a_validation_part_that_does_not_decide_leaves_the_probabilities(
    logits: list[list[float]], labels: list[int]
) -> None:
    fitted = fit_temperature(logits, labels)
    assert (fitted.value, fitted.decided) == (1.0, False)
    assert fitted.log_loss_after == fitted.log_loss_before


def test_applied_temperature_is_a_softmax() -> None:
    logits = np.array([[1000.0, 0.0, -5.0], [0.3, 0.2, 0.1]])
    assert apply_temperature(logits, 2.0) == pytest.approx(softmax(logits / 2.0, axis=1))


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (
            np.empty((0, 2)),
            [],
            "A temperature cannot be fitted to logits (0, 2) and labels (0,).\n"
            "Expected: logits [n, k] and labels [n] of at least one validation image",
        ),
        (
            [[np.inf, 0.0]],
            [0],
            "The logits of the validation part hold values that are not numbers.\n"
            "Way out: the training has diverged; lower the learning rate.",
        ),
        ([[1.0, 0.0]], [2], "A validation label is out of range.\nExpected: 0 to 1"),
        ([[1.0, 0.0]], [0.5], "The validation labels are float64.\nExpected: whole numbers"),
    ],
)
def test_refused_validation_parts(logits: object, labels: list[int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        fit_temperature(logits, labels)  # type: ignore[arg-type]
    assert str(caught.value) == message
