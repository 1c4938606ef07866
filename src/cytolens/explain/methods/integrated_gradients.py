"""Integrated gradients: the gradient along the way from a baseline to the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.core.errors import InputError
from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS
from cytolens.explain.methods.perturbation import (
    Colour,
    Outcome,
    colour_of,
    one_by_one,
    refuse,
    wrong_baseline,
)
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

_BATCH = 8  # points of the way whose activations are in memory


@dataclass(frozen=True)
class IntegratedGradients:
    """Per pixel, (x - x') · mean gradient from x' to x, over colours summed.

    Sundararajan et al. 2017, equations 1 and 3, by the midpoint rule. The map sums to
    value(x) - value(x') up to the rule's error, which "completeness_error" tells: the gap between
    the two, as a part of the larger; 0 is exact, 1 and more says that `steps` is far too small.

    Attributes:
        steps: points on the way.
        baseline: x', an image of one colour: "mean" of the network or "black".
    """

    name: ClassVar[str] = "integrated_gradients"
    title: ClassVar[str] = "Integrated gradients"
    source: ClassVar[str] = "Sundararajan et al. 2017"
    signed: ClassVar[bool] = True
    seeded: ClassVar[bool] = False

    steps: int = 32
    baseline: Colour = "mean"

    def __post_init__(self) -> None:
        wrong = [f"steps = {self.steps}: at least 1"] if self.steps < 1 else []
        refuse(self.name, wrong + wrong_baseline(self.baseline))

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        ground = torch.from_numpy(colour_of(subject, self.baseline))

        def one(image: NDArray[np.uint8], target: Target) -> Outcome:
            pixels = torch.from_numpy(image).float()  # [H, W, 3]
            way = pixels - ground
            total = torch.zeros_like(way, dtype=torch.float64)
            fractions = (torch.arange(self.steps) + 0.5) / self.steps
            for start in range(0, self.steps, _BATCH):
                part = fractions[start : start + _BATCH, None, None, None]
                points = ground + part * way  # [n, H, W, 3]
                total += _gradients(subject, points, target).sum(0, dtype=torch.float64)
            found = (way * total / self.steps).sum(2).numpy()  # [H, W]
            with torch.no_grad():
                ends = torch.stack([pixels, ground.expand_as(pixels)])
                there, start = target(subject.scores(ends)).tolist()
            gap = _relative_gap(float(found.sum()), there - start)
            return Outcome(found.astype(np.float32), {"completeness_error": gap})

        return one_by_one(self, subject, images, targets, one, fast=False)


def _gradients(subject: Subject, points: Tensor, target: Target) -> Tensor:
    """Return d target / d pixels, of the shape of `points` [n, H, W, 3].

    Raises:
        InputError: gradients that are not finite.
    """
    with torch.enable_grad():
        inside = points.detach().requires_grad_()
        (found,) = torch.autograd.grad(target(subject.scores(inside)).sum(), inside)
    if not torch.isfinite(found).all():
        raise InputError(
            "The gradients at the pixels are not finite.",
            fix="look at the model's weights, or choose a method without gradients.",
        )
    gradients: Tensor = found
    return gradients


def _relative_gap(one: float, other: float) -> float:
    """|one - other| as a part of the larger magnitude; 0 where both are 0."""
    larger = max(abs(one), abs(other))
    return abs(one - other) / larger if larger else 0.0


METHODS.register("integrated_gradients", IntegratedGradients)
