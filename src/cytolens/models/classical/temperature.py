"""Scores of a classifier become probabilities: a softmax with one temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RANGE = (-7.0, 5.0)  # natural logarithm of the temperatures looked at


def softmax(scores: Floats) -> Floats:
    """Return float64 [n, k], rows that sum to 1."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def as_columns(scores: Floats) -> Floats:
    """Give two classes two columns: scikit-learn's [n] for the second becomes [n, 2]."""
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def fit_temperature(parts: Sequence[tuple[Floats, NDArray[np.int64]]]) -> float:
    """Return the T that makes softmax(scores / T) most likely (Guo et al. 2017).

    It changes no order of the classes: the most probable one stays the classifier's own choice.
    The true class of n images is taken for 1 - 1 / (n + 2) certain (Platt 1999), so that scores
    that are never wrong do not give probabilities of 0 and 1.

    Args:
        parts: scores float64 [m, k] of images that the classifier was not fitted on, with the
            column of their true class, int64 [m]. The parts may have other classes (other k).
    """
    from scipy.optimize import minimize_scalar

    doubt = 1 / (sum(len(labels) for _, labels in parts) + 2)

    def surprise(log_temperature: float) -> float:
        return sum(
            _surprise(scores / np.exp(log_temperature), labels, doubt) for scores, labels in parts
        )

    return float(np.exp(minimize_scalar(surprise, bounds=_RANGE, method="bounded").x))


def _surprise(z: Floats, labels: NDArray[np.int64], doubt: float) -> float:
    """Return the summed cross-entropy of softmax(z) with smoothed labels."""
    count, k = z.shape
    certain = np.full((count, k), doubt / (k - 1))
    certain[np.arange(count), labels] = 1 - doubt
    peak = z.max(axis=1, keepdims=True)
    total = peak + np.log(np.exp(z - peak).sum(axis=1, keepdims=True))  # [m, 1]
    return float((certain * (total - z)).sum())
