"""Weights records of random networks at small sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cytolens.models.cards import Card
from cytolens.models.weights import Weights

MakeWeights = Callable[..., Weights]


@pytest.fixture(scope="session")
def random_weights() -> MakeWeights:
    def make(backbone: str, size: int = 64, **card: Any) -> Weights:
        half = (0.5, 0.5, 0.5)
        return Weights(backbone, None, Card(backbone, (size, size), half, half, **card), "random-0")

    return make
