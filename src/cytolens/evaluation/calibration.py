"""How far probabilities can be believed: reliability, ECE, Brier, log-loss, temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.checks import whole_numbers

BINS = 15
SMALLEST_PROBABILITY = 1e-15
TEMPERATURES = (0.05, 20.0)
_AS_GOOD = 1e-9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confidence_bins(confidence: Floats, bins: int = BINS) -> Ints:
    """Return the equal-width bin (low, high] of each confidence, int64 [n]; 0 is in the first."""
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.digitize(confidence, inner, right=True).astype(np.int64)


def reliability(labels: Ints, probabilities: Floats, bins: int = BINS) -> list[dict[str, object]]:
    """Return {low, high, confidence, accuracy, n} of each bin; the means are None in empty bins.

    Args:
        labels: int64 [n].
        probabilities: float64 [n, k]; the confidence of a row is its largest value.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    place = confidence_bins(confidence, bins)
    edges = np.linspace(0.0, 1.0, bins + 1).tolist()
    rows: list[dict[str, object]] = []
    for index in range(bins):
        inside = place == index
        n = int(inside.sum())
        rows.append(
            {
                "low": edges[index],
                "high": edges[index + 1],
                "confidence": float(confidence[inside].mean()) if n else None,
                "accuracy": float(correct[inside].mean()) if n else None,
                "n": n,
            }
        )
    return rows


def calibration_gaps(labels: Ints, probabilities: Floats) -> Floats:
    """Return confidence minus correctness of each image, float64 [n]."""
    correct = probabilities.argmax(axis=1) == labels
    return np.asarray(probabilities.max(axis=1) - correct, np.float64)


def ece(labels: Ints, probabilities: Floats, bins: int = BINS) -> float:
    """Return the expected calibration error of the top label (Guo et al. 2017), in [0, 1].

    It is the mean over bins of |mean confidence - accuracy|, weighted by the images in the bin.
    """
    place = confidence_bins(probabilities.max(axis=1), bins)
    gaps = np.bincount(place, weights=calibration_gaps(labels, probabilities), minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def squared_errors(labels: Ints, probabilities: Floats) -> Floats:
    """Return the multi-class Brier score of each image, float64 [n] in [0, 2].

    The sum over all classes of (probability - truth)², Brier's own definition (1950); for two
    classes it is twice the one-column form.
    """
    truth = np.eye(probabilities.shape[1])[labels]  # [n, k]
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1), np.float64)


def log_losses(labels: Ints, probabilities: Floats) -> Floats:
    """Return -ln p(true class) of each image, float64 [n], p clipped to [1e-15, 1]."""
    true = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(true, SMALLEST_PROBABILITY, 1.0)), np.float64)


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature and the mean log-loss on the validation part without and with it.

    `decided` is False where an end of `TEMPERATURES` fits as well as anything between: every
    image right (a colder softmax is always better), chance or worse, logits all alike. The value
    is 1 then, because such a validation part says nothing about how sure the model may be.
    """

    value: float
    log_loss_before: float
    log_loss_after: float
    decided: bool


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> Temperature:
    """Fit softmax(logits / T) to validation labels by log-loss (Guo et al. 2017).

    Args:
        logits: floats [n, k] of validation images, never of test images.
        labels: integers [n] from 0 to k - 1.

    Raises:
        InputError: shapes that do not fit, no images, or logits that are not finite.
    """
    from scipy.optimize import minimize_scalar

    scores, truth = _validation(logits, labels)

    def loss(log_temperature: float) -> float:
        return _mean_loss(scores / np.exp(log_temperature), truth)

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    before, after = loss(0.0), float(found.fun)
    if min(loss(low), loss(high)) <= after + _AS_GOOD:
        return Temperature(1.0, before, before, decided=False)
    return Temperature(float(np.exp(found.x)), before, after, decided=True)


def apply_temperature(logits: ArrayLike, temperature: float) -> Floats:
    """Return softmax(logits / temperature), float64 [n, k], rows summing to 1."""
    return np.asarray(np.exp(_log_softmax(np.asarray(logits, np.float64) / temperature)))


def _validation(logits: ArrayLike, labels: ArrayLike) -> tuple[Floats, Ints]:
    scores, truth = np.asarray(logits, np.float64), whole_numbers(labels, "validation labels")
    if scores.ndim != 2 or truth.shape != (len(scores),) or scores.size == 0:
        raise InputError(
            f"A temperature cannot be fitted to logits {scores.shape} and labels {truth.shape}.",
            expected="logits [n, k] and labels [n] of at least one validation image",
        )
    if not np.isfinite(scores).all():
        raise InputError(
            "The logits of the validation part hold values that are not numbers.",
            fix="the training has diverged; lower the learning rate.",
        )
    if truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise InputError(
            "A validation label is out of range.", expected=f"0 to {scores.shape[1] - 1}"
        )
    return scores, truth


def _mean_loss(logits: Floats, labels: Ints) -> float:
    return float(-_log_softmax(logits)[np.arange(len(labels)), labels].mean())


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float64)
