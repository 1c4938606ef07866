"""The maps that are made of a layer's activations and the target's gradients there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import Method, Stopwatch, each, settings_of, upsampled
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

_BATCH = 16  # images whose activations are in memory

Grid = Callable[[Tensor, Tensor], Tensor]  # activations, gradients [N, C, h, w] -> [N, h, w]


def cam(
    method: Method,
    layer: str,
    subject: Subject,
    images: NDArray[np.uint8],
    targets: Sequence[Target],
    grid: Grid,
) -> list[Explanation]:
    """Explain a batch by a grid made at a layer.

    Only what lies above the layer is differentiated, so for a last layer nearly nothing.
    """
    subject.check(images, targets)
    watch = Stopwatch(len(images))
    opened = subject.opened(layer)
    maps: list[NDArray[np.float32]] = []
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        features = opened.features(torch.from_numpy(images[part]))
        own = targets[part]
        gradients = opened.gradients(features, lambda scores, own=own: each(own, scores))  # type: ignore[misc]
        planes = opened.layer.planes
        maps += list(upsampled(grid(planes(features), planes(gradients)), subject.size))
    seconds, settings = watch.seconds, settings_of(method)
    return [
        Explanation(one, method.name, target.name, settings, seconds, opened.layer.name)
        for one, target in zip(maps, targets, strict=True)
    ]
