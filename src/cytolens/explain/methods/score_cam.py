"""Score-CAM: channels weighted by what the image scores when seen through each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS, Map, upsampled
from cytolens.explain.methods.passes import check_values, features_of
from cytolens.explain.methods.perturbation import Outcome, one_by_one
from cytolens.explain.subject import CHUNK, Subject
from cytolens.explain.targets import Target

_NOISE = 1e-6  # of a channel's size: below it its differences are rounding


@dataclass(frozen=True)
class ScoreCam:
    """ReLU(sum over channels of w · activation): Wang et al. 2020.

    Each channel, brought to the size of the image and to 0…1, is a mask through which the network
    sees the image (in normalised space: what is masked is 0); w is the softmax over channels of
    the target's increase over the image with nothing shown. In the notation of the paper
    w = softmax(f(X ∘ H_k) - f(X_b)) with X_b = 0.

    A channel that is the same everywhere cannot be brought to 0…1 and shows nothing: it gets the
    increase 0 without a pass. Channels that are the same up to scale and offset are the same mask
    and get one pass. So the map is that of a pass a channel. `facts`: "channels"; "constant" and
    "repeated", those without a pass of their own; "passes".

    Attributes:
        layer: where the network is opened (`layers.open_network`).
    """

    name: ClassVar[str] = "score_cam"
    title: ClassVar[str] = "Score-CAM"
    source: ClassVar[str] = "Wang et al. 2020"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = False

    layer: str = "auto"

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        opened = subject.opened(self.layer)

        def outcome(image: NDArray[np.uint8], target: Target) -> Outcome:
            planes = opened.layer.planes(features_of(opened, image))[0].numpy()  # [C, h, w]
            shapes, which = _shapes(planes)
            scores = subject.masked_scores(image, _masks(shapes, subject.size))
            values = check_values(target(scores), "the image seen through a channel")
            increases = np.append(values[1:] - values[0], 0.0)  # the last: of constant channels
            weights = softmax(increases[which]).astype(np.float32)  # [C]
            grid = np.maximum(np.tensordot(weights, planes, 1), 0)  # [h, w]
            [found] = upsampled(grid[None], subject.size)
            constant = int((which == -1).sum())
            facts = {
                "channels": len(planes),
                "constant": constant,
                "repeated": len(planes) - constant - len(shapes),
                "passes": len(scores),
            }
            return Outcome(found, facts, layer=opened.layer.name)

        return one_by_one(self, subject, images, targets, outcome)


def _shapes(planes: Map) -> tuple[Map, NDArray[np.intp]]:
    """Return the different channels of 0…1, and which of them each channel is.

    Args:
        planes: [C, h, w].

    Returns:
        [U, h, w], and int [C] of 0…U-1, or -1 for a channel that is the same everywhere.
    """
    flat = planes.reshape(len(planes), -1)
    low = flat.min(axis=1, keepdims=True)
    span = flat.max(axis=1, keepdims=True) - low  # [C, 1]
    varied = span[:, 0] > _NOISE * np.abs(flat).max(axis=1)
    which = np.full(len(planes), -1)
    unique, which[varied] = np.unique(
        (flat[varied] - low[varied]) / span[varied], axis=0, return_inverse=True
    )
    return unique.reshape(-1, *planes.shape[1:]), which


def _masks(shapes: Map, size: tuple[int, int]) -> Iterator[Map]:
    """Yield masks [m, H, W] of 0…1, the first of all showing nothing."""
    yield np.zeros((1, *size), np.float32)
    for start in range(0, len(shapes), CHUNK):
        masks = upsampled(shapes[start : start + CHUNK], size)
        # What lies between the places may not reach the channel's highest and lowest value.
        masks -= masks.min(axis=(1, 2), keepdims=True)
        masks /= masks.max(axis=(1, 2), keepdims=True)
        yield masks


METHODS.register("score_cam", ScoreCam)
