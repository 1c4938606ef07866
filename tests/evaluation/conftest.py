"""Small prediction sets, built by hand or drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cytolens.evaluation import Predictions

Build = Callable[..., Predictions]


@pytest.fixture
def build() -> Build:
    """Return a builder: probabilities [n, k] and labels, everything else by default."""

    def make(probabilities: Any, labels: Sequence[int], **changes: Any) -> Predictions:
        table = np.asarray(probabilities, np.float64)
        ids = [f"{row}.png" for row in range(len(table))]
        columns: dict[str, Any] = {
            "ids": ids,
            "labels": np.asarray(labels),
            "probabilities": table,
            "classes": tuple("abcdefgh"[: table.shape[1]]),
            "folds": np.zeros(len(table), np.int64),
            "repeats": np.zeros(len(table), np.int64),
            "units": ids,
        }
        return Predictions(**(columns | changes))

    return make


@pytest.fixture
def draw(build: Build) -> Build:
    """Return a generator of n images, k classes, units of random size; `decimals` make ties."""

    def make(
        n: int, k: int, units: int, seed: int = 0, decimals: int | None = None, **changes: Any
    ) -> Predictions:
        generator = np.random.default_rng(seed)
        labels = generator.integers(k, size=n)
        scores = generator.exponential(size=(n, k))
        scores[np.arange(n), labels] += 0.8
        if decimals is not None:
            scores = np.round(scores, decimals) + 10.0**-decimals
        names = [f"g{unit}" for unit in generator.integers(units, size=n)]
        table = scores / scores.sum(axis=1, keepdims=True)
        return build(table, labels, **({"units": names} | changes))

    return make
