"""Heads: what turns a feature map or vector into class scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cytolens.core.registry import Registry
from cytolens.models.config import ModelConfig

HeadFactory = Callable[[int, int, ModelConfig], nn.Module]
HEADS: Registry[HeadFactory] = Registry("head")


class GaussianNoise(nn.Module):
    """Add N(0, std²) while training (Keras' GaussianNoise)."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, features: Tensor) -> Tensor:
        return features + self.std * torch.randn_like(features) if self.training else features


def _linear(inputs: int, outputs: int, config: ModelConfig) -> nn.Module:
    """Dropout → Dense: contrastive2023 (dropout .5) and prasuna2023 (.2, sigmoid)."""
    return nn.Sequential(nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(inputs, outputs))


def _wong2023(inputs: int, outputs: int, config: ModelConfig) -> nn.Module:
    """Flatten → Dense + ReLU → Dropout → GaussianNoise → Dense (wong2023, figure 4)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, config.width),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        GaussianNoise(config.noise),
        nn.Linear(config.width, outputs),
    )


def _abualhaija2020(inputs: int, outputs: int, config: ModelConfig) -> nn.Module:
    """Dense + ReLU → dropout → Dense (abualhaija2020: width 1024, dropout .4, sigmoid)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, config.width),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.width, outputs),
    )


def _lenet5(inputs: int, outputs: int, config: ModelConfig) -> nn.Module:
    """Dense + tanh (F6) → Dense: the end of LeNet-5 (LeCun 1998: width 84; softmax for its RBF)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, config.width), nn.Tanh(), nn.Linear(config.width, outputs)
    )


HEADS.register("linear", _linear)
HEADS.register("wong2023", _wong2023)
HEADS.register("abualhaija2020", _abualhaija2020)
HEADS.register("lenet5", _lenet5)


def create_head(shape: tuple[int, ...], classes: int, config: ModelConfig) -> nn.Module:
    """Build the head for features of `shape` (without the batch axis).

    Dense layers start as Keras' do (Glorot uniform, zero bias). Drawn from torch's current
    generator: the caller seeds it.
    """
    size = 1
    for length in shape:
        size *= length
    head = HEADS.get(config.head)(size, 1 if config.output == "sigmoid" else classes, config)
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return head


def probabilities(scores: Tensor, output: str) -> Tensor:
    """Class scores [N, k] (or [N, 1] for a sigmoid) -> float64 probabilities [N, k]."""
    scores = scores.double()
    if output == "sigmoid":
        positive = scores.sigmoid()
        return torch.cat([1 - positive, positive], dim=1)  # [N, 2]
    return scores.softmax(dim=1)
