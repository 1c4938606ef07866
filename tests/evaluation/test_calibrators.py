"""Calibrators: what they gain, what they keep, which one is chosen, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax
from sklearn.isotonic import IsotonicRegression

from cytolens.core.errors import InputError
from cytolens.evaluation import (
    CALIBRATORS,
    IsotonicCalibration,
    NoCalibration,
    Predictions,
    TemperatureScaling,
    VectorScaling,
    calibration_scores,
    calibrator_from,
    choose_calibrator,
    ece,
    fit_calibrator,
    fit_temperature,
)
from cytolens.evaluation.calibration import log_losses

Build = Callable[..., Predictions]
Table = np.ndarray[Any, Any]


def world(n: int, k: int, seed: int) -> tuple[Table, Table]:
    """Return true probabilities [n, k] and labels drawn from them."""
    generator = np.random.default_rng(seed)
    table = softmax(generator.normal(size=(n, k)) * 1.5, axis=1)
    return table, (table.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)


def hotter(table: Table, factor: float) -> Table:
    return np.asarray(softmax(factor * np.log(table), axis=1))


def bent(table: Table) -> Table:
    """Cube the logit of the second of two classes: rising, and no temperature, scale or bias."""
    score = expit(logit(table[:, 1]) ** 3)
    return np.stack([1 - score, score], axis=1)


@pytest.mark.parametrize("name", ["temperature", "vector", "isotonic"])
@pytest.mark.parametrize("k", [2, 4])
def test_over_confidence_is_mended_on_other_images(name: str, k: int) -> None:
    table, labels = world(6000, k, seed=k)
    sure = hotter(table, 2.5)
    fit, test = slice(0, 3000), slice(3000, None)
    better = fit_calibrator(name, sure[fit], labels[fit]).apply(sure[test])
    before, after = ece(labels[test], sure[test]), ece(labels[test], better)
    assert before > 0.1 and after < 0.035
    gain = log_losses(labels[test], sure[test]).mean() - log_losses(labels[test], better).mean()
    assert gain > 0.1
    assert better.sum(axis=1) == pytest.approx(1)


def test_temperature_is_that_of_the_logits_and_keeps_the_most_probable_class() -> None:
    table, labels = world(500, 3, seed=1)
    sure = hotter(table, 3.0)
    fitted = fit_calibrator("temperature", sure, labels)
    assert isinstance(fitted, TemperatureScaling)
    logits = 3.0 * np.log(table) + np.random.default_rng(0).normal(size=(500, 1))
    assert fitted.temperature == pytest.approx(fit_temperature(logits, labels).value, rel=1e-4)
    edge = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.34, 0.33, 0.33], [1e-30, 1e-25, 1.0]])
    for value in (0.05, 0.7, 20.0):
        found = TemperatureScaling(value).apply(np.concatenate([sure, edge]))
        assert (found.argmax(axis=1) == np.concatenate([sure, edge]).argmax(axis=1)).all()
        assert np.isfinite(found).all()


def test_vector_scaling_is_the_least_of_its_penalised_loss() -> None:
    table, labels = world(400, 3, seed=2)
    seen = softmax(np.log(table) * [2.0, 1.0, 0.7] + [0.8, 0.0, -0.5], axis=1)
    fitted = fit_calibrator("vector", seen, labels)
    assert isinstance(fitted, VectorScaling)

    def loss(values: Table) -> float:
        scale, bias = values[:3], values[3:]
        logs = log_softmax(np.log(seen) * scale + bias, axis=1)
        penalty = ((scale - scale.mean()) ** 2).sum() + (bias**2).sum()
        return float(-logs[np.arange(400), labels].sum() + penalty)

    best = np.array([*fitted.scale, *fitted.bias])
    generator = np.random.default_rng(0)
    assert loss(best) < loss(np.r_[1.0, 1, 1, 0, 0, 0])
    for step in generator.normal(size=(200, 6)) * 1e-2:
        assert loss(best) <= loss(best + step) + 1e-6
    assert sum(fitted.bias) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", ["temperature", "vector"])
def test_images_that_decide_nothing_change_nothing(name: str) -> None:
    """All right: the surer, the better, without an end."""
    table = np.array([[0.9, 0.1], [0.2, 0.8]] * 20)
    fitted = fit_calibrator(name, table, [0, 1] * 20)
    assert fitted.apply(table) == pytest.approx(table)


def test_isotonic_equals_scikit_learn_renormalised() -> None:
    table, labels = world(300, 3, seed=3)
    new, _ = world(200, 3, seed=4)
    found = fit_calibrator("isotonic", table, labels).apply(new)
    least = 1 / 302
    naive = np.stack(
        [
            IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
            .fit(table[:, j], labels == j)
            .predict(new[:, j])
            for j in range(3)
        ],
        axis=1,
    )
    assert found == pytest.approx(naive / naive.sum(axis=1, keepdims=True))
    assert found.min() > 0


@pytest.mark.parametrize(
    ("wanted", "distort"),
    [
        ("none", lambda table: table),
        ("temperature", lambda table: hotter(table, 2.5)),
        ("vector", lambda table: softmax(np.log(table) + np.array([1.2, -1.2]), axis=1)),
        ("isotonic", bent),
    ],
)
def test_the_simplest_sufficient_calibrator_is_chosen(
    build: Build, wanted: str, distort: Callable[[Table], Table]
) -> None:
    for seed in range(2):
        table, labels = world(3000, 2, seed=10 + seed)
        seen = build(distort(table), labels, folds=np.arange(3000) % 5)
        choice = choose_calibrator(seen)
        assert choice.calibrator.name == wanted
        assert list(choice.candidates) == ["none", "temperature", "vector", "isotonic"]
        assert choice.how == "5 folds"
        expected = log_losses(labels, choice.calibrated.probabilities).mean()
        assert choice.candidates[wanted] == pytest.approx(expected)


def test_isotonic_is_not_chosen_on_few_images(build: Build) -> None:
    table, labels = world(60, 2, seed=5)
    seen = build(bent(table), labels, folds=np.arange(60) % 3)
    assert choose_calibrator(seen).calibrator.name != "isotonic"


def test_a_choice_is_plain_json_and_tells_before_and_after(build: Build) -> None:
    table, labels = world(800, 3, seed=6)
    units = [f"g{row // 4}" for row in range(800)]
    folds = np.arange(800) // 4 % 4
    seen = build(hotter(table, 3.0), labels, folds=folds, units=units)
    content = choose_calibrator(seen).to_json(seen, resamples=100)
    again = json.loads(json.dumps(content, allow_nan=False))
    assert again == content
    assert set(content) == {
        "method", "parameters", "n", "before", "after", "candidates", "how"
    }  # fmt: skip
    assert (content["method"], content["n"]) == ("temperature", 800)
    assert content["before"] == calibration_scores(seen, resamples=100)
    for name in ("ece", "brier", "log_loss"):
        before, after = content["before"][name], content["after"][name]
        assert after["value"] < before["value"]
        assert after["low"] <= after["value"] <= after["high"]
    made = calibrator_from(again["method"], again["parameters"])
    assert made.apply(table[:5]).shape == (5, 3)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_parameters_round_trip_exactly(name: str) -> None:
    table, labels = world(300, 3, seed=7)
    fitted = fit_calibrator(name, hotter(table, 2.0), labels)
    again = calibrator_from(name, json.loads(json.dumps(fitted.parameters(), allow_nan=False)))
    assert again == fitted and again.name == name
    assert (again.apply(table) == fitted.apply(table)).all()
    assert fitted.apply(np.empty((0, 3))).shape == (0, 3)


def test_calibrators_are_applied_without_scikit_learn_and_scipy() -> None:
    table, labels = world(200, 2, seed=8)
    made = [fit_calibrator(name, table, labels) for name in CALIBRATORS]
    told = json.dumps([[one.name, one.parameters()] for one in made])
    code = (
        "import sys, json; sys.modules.update(dict.fromkeys(['sklearn', 'scipy', 'torch']))\n"
        "from cytolens.evaluation import calibrator_from\n"
        f"for name, parameters in json.loads({told!r}):\n"
        "    print(calibrator_from(name, parameters).apply([[.3, .7]]).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [one.apply([[0.3, 0.7]]).tolist() for one in made]


def test_a_class_without_images_keeps_a_small_probability() -> None:
    table, _ = world(100, 3, seed=9)
    for name in CALIBRATORS:
        found = fit_calibrator(name, table, np.arange(100) % 2).apply(table)
        assert np.isfinite(found).all() and (found > 0).all()


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (np.empty((0, 2)), [], "A calibrator cannot be fitted to probabilities (0, 2) and labels"),
        ([[0.5, 0.5]], [0, 1], "expected|a label for each row of at least one image"),
        ([[np.nan, 0.5]], [0], "1 row that are not probabilities.\n  - row 0: nan, 0.5"),
        ([[0.7, 0.7]], [0], "1 row that are not probabilities.\n  - row 0: 0.7, 0.7"),
        ([[-0.1, 1.1]], [0], "numbers from 0 to 1 with the sum 1"),
        ([0.5, 0.5], [0], "The probabilities have shape (2,).\nExpected: [n, k]"),
        ([[0.5, 0.5]], [2], "A label is out of range.\nExpected: 0 to 1"),
        ([[0.5, 0.5]], [0.5], "The labels are float64."),
    ],
)
def test_bad_input_is_refused(probabilities: Any, labels: Any, message: str) -> None:
    for name in CALIBRATORS:
        with pytest.raises(InputError) as caught:
            fit_calibrator(name, probabilities, labels)
        assert message.removeprefix("expected|") in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("izotonic", {}, "Unknown calibrator 'izotonic' (did you mean 'isotonic'?)."),
        ("temperature", {}, "The parameters of the calibrator 'temperature' cannot be read."),
        ("temperature", {"temperature": "x"}, "cannot be read"),
        ("temperature", {"temperature": -1}, "The temperature is -1."),
        ("temperature", {"temperature": float("nan")}, "The temperature is nan."),
        ("temperature", {"temperature": 1, "bias": 2}, "has no such parameters.\n  - bias"),
        ("none", {"temperature": 1}, "has no such parameters.\n  - temperature"),
        ("vector", {"scale": [1, 1], "bias": [0]}, "a number of each for each class"),
        ("vector", {"scale": [1, 0], "bias": [0, 0]}, "more than 0"),
        ("isotonic", {"x": [[0, 1]], "y": [[1, 0.5]]}, "do not rise"),
        ("isotonic", {"x": [[0, 0]], "y": [[0.1, 0.5]]}, "do not rise"),
        ("isotonic", {"x": [[]], "y": [[]]}, "do not rise"),
        ("isotonic", {"x": 3, "y": [[0.1]]}, "cannot be read"),
    ],
)
def test_wrong_parameters_are_refused(name: str, parameters: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        calibrator_from(name, parameters)
    assert message in str(caught.value)


def test_other_classes_than_fitted_are_refused() -> None:
    for one in (
        VectorScaling((1.0, 1.0), (0.0, 0.0)),
        IsotonicCalibration(((0.1,), (0.1,)), ((0.2,), (0.2,))),
    ):
        with pytest.raises(InputError, match=r"Expected: \[n, 2\]"):
            one.apply([[0.2, 0.3, 0.5]])
    assert NoCalibration().apply([[0.2, 0.8]]).tolist() == [[0.2, 0.8]]


def test_candidates_are_checked(build: Build) -> None:
    seen = build([[0.6, 0.4]] * 10, [0, 1] * 5, folds=np.arange(10) % 2)
    assert list(choose_calibrator(seen, candidates=["vector", "none"]).candidates) == [
        "none",
        "vector",
    ]
    with pytest.raises(InputError, match="No calibrator was named"):
        choose_calibrator(seen, candidates=[])
    with pytest.raises(InputError, match="Unknown calibrator 'platt'"):
        choose_calibrator(seen, candidates=["platt"])
