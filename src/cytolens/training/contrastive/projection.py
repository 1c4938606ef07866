"""The projection head: what the losses over pairs see of the encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cytolens.core.seeding import torch_seed

HIDDEN = 512  # units at most


class Projection(nn.Module):
    """Linear → ReLU → Linear → length 1 (Khosla et al. 2020, section 3.1).

    It is thrown away after the encoder's training. The hidden layer is as wide as the features,
    512 at most.

    Args:
        features: length of the encoder's (flattened) output.
        width: length of the result.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        hidden = min(features, HIDDEN)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, …] -> float32 [N, width] of length 1."""
        return functional.normalize(self.layers(features).float(), dim=1)


def create_projection(features: int, width: int, seed: int, *names: str | int) -> Projection:
    """Build a projection head, the same for the same seed and names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, "projection", *names))
        return Projection(features, width)
