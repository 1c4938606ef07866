"""Layer-CAM: each place weighted by its own positive gradient; fit for early layers too."""

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
class LayerCam:
    """ReLU(sum over channels of ReLU(gradient) · activation): Jiang et al. 2021.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
    """

    name: ClassVar[str] = "layer_cam"
    title: ClassVar[str] = "Layer-CAM"
    source: ClassVar[str] = "Jiang et al. 2021"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        return cam(self, self.layer, subject, images, targets, _grid)


def _grid(activations: Tensor, gradients: Tensor) -> Tensor:
    """[N, C, h, w] twice -> [N, h, w]."""
    return (gradients.relu() * activations).sum(dim=1).relu()


METHODS.register("layer_cam", LayerCam)
