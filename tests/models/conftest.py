"""Weights records of random networks at small sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from cytolens.models.cards import Card
from cytolens.models.weights import Weights

MakeWeights = Callable[..., Weights]


@pytest.fixture(scope="session")
def random_weights() -> MakeWeights:
    def make(backbone: str, size: int = 64, **card: Any) -> Weights:
        half = (0.5, 0.5, 0.5)
        return Weights(backbone, None, Card(backbone, (size, size), half, half, **card), "random-0")

    return make


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny layers on a busy machine: a second thread only waits (200 times slower, measured)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
