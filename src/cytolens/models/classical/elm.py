"""The extreme learning machine: a random hidden layer and one ridge regression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ExtremeLearningMachine:
    """Huang, Zhu and Siew 2006, with the penalty of Huang et al. 2012.

    The weights and biases of the hidden layer are drawn once and never trained; the output weights
    solve β = (HᵀH + I / c)⁻¹ Hᵀ T in closed form, T being 1 for an image's class and -1 for the
    others. Weights are drawn from -1 … 1 over the square root of the number of features, so that
    the sigmoid is not saturated by many of them.

    Args:
        hidden: units of the hidden layer.
        c: inverse strength of the penalty.
        rng: draws the hidden layer.
    """

    def __init__(self, hidden: int, c: float, rng: np.random.Generator) -> None:
        self.hidden = hidden
        self.c = c
        self._rng = rng
        self._weights: Floats = np.empty((0, hidden))
        self._biases: Floats = np.empty(hidden)
        self._output: Floats = np.empty((hidden, 0))
        self.classes_: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def fit(self, features: Floats, labels: NDArray[np.int64]) -> ExtremeLearningMachine:
        """Fit on float64 [n, d] and int64 [n]."""
        self.classes_ = np.unique(labels)
        spread = float(features.shape[1]) ** -0.5
        shape = (features.shape[1], self.hidden)
        self._weights = np.asarray(self._rng.uniform(-spread, spread, shape), np.float64)
        self._biases = np.asarray(self._rng.uniform(-1, 1, self.hidden), np.float64)
        targets = np.where(labels[:, None] == self.classes_, 1.0, -1.0)  # [n, k]
        h = self.layer(features)
        penalty = np.eye(self.hidden) / self.c
        solved = np.linalg.solve(h.T @ h + penalty, h.T @ targets)  # [hidden, k]
        self._output = np.asarray(solved, np.float64)
        return self

    def layer(self, features: Floats) -> Floats:
        """Return the hidden layer's output, float64 [n, hidden] in 0 … 1."""
        from scipy.special import expit

        return np.asarray(expit(features @ self._weights + self._biases), np.float64)

    def decision_function(self, features: Floats) -> Floats:
        """Return a score a class, float64 [n, k] in the order of `classes_`."""
        return self.layer(features) @ self._output
