"""Grad-CAM: channels weighted by the mean gradient of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.gradients import cam
from cytolens.explain.methods.method import METHODS
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target


@dataclass(frozen=True)
class GradCam:
    """ReLU(sum over channels of mean gradient · activation): Selvaraju et al. 2017, eqs. 1, 2.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
    """

    name: ClassVar[str] = "grad_cam"
    title: ClassVar[str] = "Grad-CAM"
    source: ClassVar[str] = "Selvaraju et al. 2017"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        return cam(self, self.layer, subject, images, targets, _grid)


def _grid(activations: Tensor, gradients: Tensor) -> Tensor:
    """[N, C, h, w] twice -> [N, h, w]."""
    weights = gradients.mean(dim=(2, 3), keepdim=True)  # [N, C, 1, 1]
    return (weights * activations).sum(dim=1).relu()


METHODS.register("grad_cam", GradCam)
