"""HiRes-CAM: each place weighted by its own gradient."""

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

_NOISE = 1e-5  # of the sum of magnitudes: below it a sum of float32 products is rounding


@dataclass(frozen=True)
class HiResCam:
    """ReLU(sum over channels of gradient · activation): Draelos & Carin 2020.

    Unlike Grad-CAM, gradients are not averaged over places: a place counts by what the network
    makes of it there. With an average and one linear layer above, both give the same map up to
    a factor.

    In a transformer that normalises each token before it looks at it, the score does not change
    with a token's length, so gradient · activation is 0 and the map empty: what is left of the sum
    is rounding, and counted 0 below 1e-5 of the sum of its terms' magnitudes.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
    """

    name: ClassVar[str] = "hires_cam"
    title: ClassVar[str] = "HiRes-CAM"
    source: ClassVar[str] = "Draelos & Carin 2020"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        return cam(self, self.layer, subject, images, targets, _grid)


def _grid(activations: Tensor, gradients: Tensor) -> Tensor:
    """[N, C, h, w] twice -> [N, h, w]."""
    products = gradients * activations
    found = products.sum(dim=1)
    rounding = found.abs() <= _NOISE * products.abs().sum(dim=1)
    return found.masked_fill(rounding, 0).relu()


METHODS.register("hires_cam", HiResCam)
