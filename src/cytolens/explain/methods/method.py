"""What all methods of explanation share."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.core.registry import Registry
from cytolens.core.seeding import rng
from cytolens.explain.explanation import Explanation
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

Map = NDArray[np.float32]


@runtime_checkable
class Method(Protocol):
    """A method with its settings: a frozen dataclass whose fields are the settings.

    Attributes:
        name: registered name.
        title: for captions.
        source: the paper.
        signed: whether the map has a negative part (what speaks against the target).
        seeded: whether it draws at random: then `seed` is one of its fields.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    signed: ClassVar[bool]
    seeded: ClassVar[bool]

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        """Explain a batch.

        The map of an image depends on network, image, target and settings alone, whatever else
        is in the batch.

        Args:
            subject: the network.
            images: uint8 [N, H, W, 3], as the network sees them (`Subject.prepare`).
            targets: one an image.

        Raises:
            InputError: images of another size, a layer that is not there, values not finite.
        """
        ...


METHODS: Registry[type[Method]] = Registry("method of explanation")


class Stopwatch:
    """Shares the time of a batch among its images."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far, an image."""
        return (time.perf_counter() - self._started) / max(1, self._images)


def settings_of(method: Any) -> dict[str, Any]:
    """Return a method's settings with every default."""
    return asdict(method)


def draws_for(method: str, seed: int, image: NDArray[np.uint8]) -> np.random.Generator:
    """Return the generator of one image: the same for the same pixels, wherever they stand."""
    return rng(seed, "explain", method, hashlib.sha256(image.tobytes()).hexdigest())


def upsampled(grids: Tensor | Map, size: tuple[int, int]) -> Map:
    """Bring grids [N, h, w] to the size of the image, bilinearly: float32 [N, H, W]."""
    planes = grids.detach().cpu().numpy() if isinstance(grids, Tensor) else grids
    planes = np.asarray(planes, np.float32)
    height, width = size
    return np.stack(
        [cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in planes]
    )


def each(targets: Sequence[Target], scores: Tensor) -> Tensor:
    """Return the value of each image's own target: class scores [N, k] -> [N]."""
    return torch.stack([target(scores[i : i + 1])[0] for i, target in enumerate(targets)])
