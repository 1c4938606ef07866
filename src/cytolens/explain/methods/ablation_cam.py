"""Ablation-CAM: channels weighted by what the target loses without each of them."""

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
from cytolens.explain.layers import Opened
from cytolens.explain.methods.method import METHODS, upsampled
from cytolens.explain.methods.passes import check_values, features_of
from cytolens.explain.methods.perturbation import Outcome, one_by_one
from cytolens.explain.subject import CHUNK, Subject
from cytolens.explain.targets import Target

_NOISE = 1e-6  # of the largest score: a smaller loss is rounding


@dataclass(frozen=True)
class AblationCam:
    """ReLU(sum over channels of w · activation): Desai & Ramaswamy 2020.

    w = (y - y_k) / |y|, with y the target and y_k the target with channel k set to 0. The paper
    divides by y, of which it supposes that it is positive; a negative one would turn the map into
    what speaks against the target.

    Only the part above the layer runs again. A channel that is 0 everywhere changes nothing and
    needs no pass. Class tokens of a transformer stay as they are. `facts`: "channels"; "zero",
    those without a pass; "passes"; "target", y.

    The public library sets a channel far below 0 instead where a layer has negative values.

    Attributes:
        layer: where the network is opened (`layers.open_network`).
    """

    name: ClassVar[str] = "ablation_cam"
    title: ClassVar[str] = "Ablation-CAM"
    source: ClassVar[str] = "Desai & Ramaswamy 2020"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        opened = subject.opened(self.layer)

        def outcome(image: NDArray[np.uint8], target: Target) -> Outcome:
            features = features_of(opened, image)
            planes = opened.layer.planes(features)[0]  # [C, h, w]
            alive = torch.nonzero(planes.flatten(1).any(dim=1))[:, 0]  # [A]
            scores = _scores_without(opened, features, alive)  # [1 + A, k]
            values = check_values(target(scores), "the features without a channel")
            weights = self._weights(values, _NOISE * float(np.abs(scores[0]).max()), target)
            grid = np.tensordot(weights, planes[alive].double().numpy(), 1)  # [h, w]
            [found] = upsampled(np.maximum(grid, 0)[None].astype(np.float32), subject.size)
            facts = {
                "channels": len(planes),
                "zero": len(planes) - len(alive),
                "passes": len(scores),
                "target": float(values[0]),
            }
            return Outcome(found, facts, layer=opened.layer.name)

        return one_by_one(self, subject, images, targets, outcome, fast=False)

    def _weights(
        self, values: NDArray[np.float64], noise: float, target: Target
    ) -> NDArray[np.float64]:
        """Return the share of the target that each channel is worth, [A].

        Args:
            values: [1 + A], of the target, with all channels and without each.
            noise: losses up to it are rounding.

        Raises:
            InputError: the target is 0 and a channel matters: there is nothing to share.
        """
        losses: NDArray[np.float64] = values[0] - values[1:]
        losses[np.abs(losses) <= noise] = 0
        if not losses.any():
            return losses
        if values[0] == 0:
            raise InputError(
                f"{self.title} divides by the target, {target.name}, which is exactly 0.",
                fix="explain its probability, or choose another method.",
            )
        weights: NDArray[np.float64] = losses / abs(values[0])
        return weights


def _scores_without(opened: Opened, features: Tensor, channels: Tensor) -> NDArray[np.float32]:
    """Return class scores [1 + M, k]: of the features [1, …] as they are, then without each."""
    planes = opened.layer.planes(features)
    with torch.inference_mode():
        scores = [opened.upper(features)]
        for some in torch.split(channels, CHUNK):
            without = planes.repeat(len(some), 1, 1, 1)  # [m, C, h, w]
            without[torch.arange(len(some)), some] = 0
            shared = features.expand(len(some), *features.shape[1:])
            scores.append(opened.upper(opened.layer.with_planes(shared, without)))
    found: NDArray[np.float32] = torch.cat(scores).numpy()
    return found


METHODS.register("ablation_cam", AblationCam)
