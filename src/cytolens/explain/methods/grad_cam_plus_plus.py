"""Grad-CAM++: channels weighted by their positive gradients, places of rare evidence more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.gradients import cam
from cytolens.explain.methods.method import METHODS
from cytolens.explain.methods.perturbation import refuse
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target


@dataclass(frozen=True)
class GradCamPlusPlus:
    """ReLU(sum over channels of w · activation), Chattopadhay et al. 2018, eq. 19.

    w = sum over places of alpha · ReLU(g), with g the gradient of the target, which the paper
    takes for exp(score): then alpha = g² / (2 g² + S g³) = 1 / (2 + S g), S the channel's sum of
    activations, and 0 where g is. The common factor exp(score) of w is left out, because it
    overflows.

    The public library adds 1e-6 to the denominator, which outweighs 2 g² where gradients are
    below 1e-3, as those of an averaged layer are; `epsilon` gives its maps. The paper supposes
    activations that are not negative; elsewhere 2 + S g may come near 0 and a channel outweigh
    all others, in the library as here.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
        epsilon: added to the denominator 2 g² + S g³; the paper has none.
    """

    name: ClassVar[str] = "grad_cam_plus_plus"
    title: ClassVar[str] = "Grad-CAM++"
    source: ClassVar[str] = "Chattopadhay et al. 2018"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    epsilon: float = 0.0

    def __post_init__(self) -> None:
        right = 0 <= self.epsilon < math.inf
        refuse(self.name, [] if right else [f"epsilon = {self.epsilon:g}: 0 or a small number"])

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        def grid(activations: Tensor, gradients: Tensor) -> Tensor:
            return _grid(activations, gradients, self.epsilon)

        return cam(self, self.layer, subject, images, targets, grid)


def _grid(activations: Tensor, gradients: Tensor, epsilon: float) -> Tensor:
    """[N, C, h, w] twice -> [N, h, w]."""
    total = activations.sum(dim=(2, 3), keepdim=True)  # [N, C, 1, 1]
    # Divided by g² above and below: g³ of a small gradient is 0 in float32.
    below = 2 + total * gradients  # [N, C, h, w]
    if epsilon:
        below = below + epsilon / gradients.square()
    alpha = (1 / below).where((gradients != 0) & (below != 0), 0)
    weights = (alpha * gradients.relu()).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1).relu()


METHODS.register("grad_cam_plus_plus", GradCamPlusPlus)
