"""Networks to explain: one known by hand, and every backbone with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytolens.explain.subject import Subject
from cytolens.models.backbones import Body, Normalise, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.weights import resolve_weights
from cytolens.pixels.config import PixelsConfig

HAND_SIZE = (6, 8)


class HandBody(nn.Module):
    """Two channels on a grid of half the size: the mean of red, and of green, over 2 x 2 pixels.

    The normalisation divides by 255 alone, so that black is 0.
    """

    def __init__(self, pooled: bool = True) -> None:
        super().__init__()
        self.normalise = Normalise((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.conv = nn.Conv2d(3, 2, 2, stride=2, bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0] = 0.25
            self.conv.weight[1, 1] = 0.25
        self.act = nn.ReLU()
        self.pooled = pooled

    def forward(self, pixels: Tensor) -> Tensor:
        planes = self.act(self.conv(self.normalise(pixels)))  # [N, 2, H/2, W/2]
        return planes.mean((2, 3)) if self.pooled else planes


def hand_subject(
    weights: NDArray[np.float32], pooled: bool = True, engine: str = "auto"
) -> Subject:
    """A subject whose scores are `weights` [k, features] times the features of `HandBody`."""
    head = nn.Sequential(nn.Flatten(), nn.Linear(weights.shape[1], len(weights), bias=False))
    with torch.no_grad():
        head[1].weight.copy_(torch.from_numpy(weights))
    classes = [f"c{i}" for i in range(len(weights))]
    body = HandBody(pooled)
    pixels = PixelsConfig()
    return Subject(body, head, "softmax", classes, HAND_SIZE, pixels, engine)  # type: ignore[arg-type]


@pytest.fixture
def by_hand() -> Callable[..., Subject]:
    """Makes a subject known by hand: class scores are `weights` times (mean red, mean green)."""
    return hand_subject


def random_subject(
    name: str,
    size: tuple[int, int],
    output: str = "softmax",
    classes: int = 3,
    engine: str = "auto",
    create: dict[str, Any] | None = None,
) -> Subject:
    """A subject of a backbone with random weights, made for `size` where `create` says how."""
    weights = resolve_weights(name, "random", 0)
    if create is not None:
        weights = replace(weights, card=replace(weights.card, input_size=size, create=create))
    config = ModelConfig(backbone=name, freeze="all", head="linear", output=output)
    body = Body(create_backbone(weights), weights, "avg")
    with torch.no_grad():
        shape = tuple(body.eval()(torch.zeros(1, *size, 3, dtype=torch.uint8)).shape[1:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the head's weights: the same in each run of the tests
        head = create_head(shape, classes, config)
    names = [f"class {i}" for i in range(classes)]
    return Subject(body, head, output, names, size, PixelsConfig(), engine)


@pytest.fixture
def tiny() -> Subject:
    """The small backbone with random weights at 48 x 64 px, three classes."""
    return random_subject("cytolens_tiny", (48, 64))


def noise(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Random images, uint8 [count, H, W, 3]."""
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (count, *size, 3), dtype=np.uint8)
