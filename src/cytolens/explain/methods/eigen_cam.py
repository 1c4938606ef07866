"""Eigen-CAM: the strongest pattern among the activations, whatever the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS, upsampled
from cytolens.explain.methods.passes import features_of
from cytolens.explain.methods.perturbation import Outcome, one_by_one
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

_NOISE = 1e-6  # of the activations' size: below it a deviation is rounding


@dataclass(frozen=True)
class EigenCam:
    """ReLU(activations projected on their first principal direction): Muhammad & Yeasin 2020.

    With the activations as a matrix of places × channels, the map is the matrix times its first
    right singular vector. A singular vector has no sign of its own: it is turned so that the map
    is high where the sum of the activations over channels is (the sum over places of their
    product is positive).

    It does not depend on the target: it shows what the layer responds to, not why the network
    decides. The maps of two classes are the same.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
        centred: subtract each channel's mean over places first, so that half of the image is
            below 0 and cut off. The paper does not; the public library does (and leaves the sign
            to the linear algebra).
    """

    name: ClassVar[str] = "eigen_cam"
    title: ClassVar[str] = "Eigen-CAM"
    source: ClassVar[str] = "Muhammad & Yeasin 2020"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"
    centred: bool = False

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        opened = subject.opened(self.layer)

        def outcome(image: NDArray[np.uint8], target: Target) -> Outcome:
            del target  # it has no say
            planes = opened.layer.planes(features_of(opened, image))[0]
            [found] = upsampled(_component(planes, self.centred)[None], subject.size)
            return Outcome(found, layer=opened.layer.name)

        return one_by_one(self, subject, images, targets, outcome, fast=False)


def _component(planes: Tensor, centred: bool) -> Tensor:
    """[C, h, w] -> [h, w]."""
    matrix = planes.flatten(1).T.double()  # [h·w, C]
    total = matrix.sum(dim=1)  # [h·w]
    size = matrix.abs().max()
    if centred:
        matrix = matrix - matrix.mean(dim=0)
        total = total - total.mean()
    if matrix.abs().max() <= _NOISE * size:
        return torch.zeros(planes.shape[1:])
    _, _, directions = torch.linalg.svd(matrix, full_matrices=False)  # [·, C], rows
    projected = matrix @ directions[0]  # [h·w]
    if projected @ total < 0:
        projected = -projected
    grid: Tensor = projected.relu().float().reshape(planes.shape[1:])  # [h, w]
    return grid


METHODS.register("eigen_cam", EigenCam)
