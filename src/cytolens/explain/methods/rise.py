"""RISE: what the network says of an image through random masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS, draws_for
from cytolens.explain.methods.perturbation import (
    Colour,
    Outcome,
    chunks,
    colour_of,
    one_by_one,
    probabilities,
    refuse,
    wrong_baseline,
)
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target


@dataclass(frozen=True)
class Rise:
    """sum over masks of value · mask / (E[mask] · N): Petsiuk et al. 2018, equation 6.

    The value is the target's probability, so the map estimates its mean over the masks that show
    the pixel: a map in probability, which is nowhere 0, not even where the pixel plays no part.
    There it is about the mean over all masks, the fact "mean_value"; what lies above that level
    speaks for the target. But uneven cover by the masks, times that level, is noise of the same
    size as the differences. `centred` takes the level away before the sum: then the map is 0 where
    a pixel plays no part, and cover adds no noise (of one confident image, two seeds of 400 masks
    correlated at .12 raw and at .67 centred).

    Attributes:
        masks: N.
        grid: cells along each side of a mask, before upsampling.
        p: probability that a cell is shown, E[mask].
        centred: whether the mean value over the masks is subtracted.
        baseline: colour of what is hidden: "mean" of the network, as in the paper, or "black".
        seed: of the masks; each image has its own.
    """

    name: ClassVar[str] = "rise"
    title: ClassVar[str] = "RISE"
    source: ClassVar[str] = "Petsiuk et al. 2018"
    signed: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    masks: int = 1000
    grid: int = 7
    p: float = 0.5
    centred: bool = True
    baseline: Colour = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [f"masks = {self.masks}: at least 2"] if self.masks < 2 else []
        wrong += [f"grid = {self.grid}: at least 2"] if self.grid < 2 else []
        wrong += [] if 0 < self.p < 1 else [f"p = {self.p:g}: above 0 and below 1"]
        refuse(self.name, wrong + wrong_baseline(self.baseline))

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        ground = colour_of(subject, self.baseline)

        def one(image: NDArray[np.uint8], target: Target) -> Outcome:
            if (image == ground).all():  # nothing can be hidden
                return Outcome(np.zeros(subject.size, np.float32))
            drawn = RandomMasks(self, subject.size, draws_for(self.name, self.seed, image))
            values = probabilities(subject, image, drawn, target, ground)
            changes = values - values[0]  # exactly 0 where the values never change
            weights = changes - changes.mean() if self.centred else values
            # The masks are made a second time: cheaper than keeping N of them.
            found = sum(
                np.tensordot(weights[part], masks, 1)  # [m] · [m, H, W] -> [H, W]
                for part, masks in zip(chunks(self.masks), drawn, strict=True)
            )
            scaled = np.asarray(found) / (self.p * self.masks)
            return Outcome(scaled.astype(np.float32), {"mean_value": float(values.mean())})

        return one_by_one(self, subject, images, targets, one)


class RandomMasks:
    """Random masks in batches: iterating twice gives the same ones.

    A grid of cells, shown or hidden, is upsampled bilinearly to one cell more than the image along
    each side and cropped at a random shift (Petsiuk et al. 2018, section 3.2).
    """

    def __init__(self, method: Rise, size: tuple[int, int], draws: np.random.Generator) -> None:
        count, grid = method.masks, method.grid
        self.grids = (draws.random((count, grid, grid)) < method.p).astype(np.float32)
        self.cells = tuple(math.ceil(side / grid) for side in size)
        self.shifts = np.stack([draws.integers(0, cell, count) for cell in self.cells])  # [2, N]
        self._size = size
        # Bilinear upsampling is linear along each side: [(grid + 1) · cell, grid].
        self._along = [
            cv2.resize(np.eye(grid, dtype=np.float32), (grid, (grid + 1) * cell))
            for cell in self.cells
        ]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Yield masks [m, H, W] of 0…1."""
        for part in chunks(len(self.grids)):
            down, across = (
                along[shift[part, None] + np.arange(side)]  # [m, side, grid]
                for along, shift, side in zip(self._along, self.shifts, self._size, strict=True)
            )
            yield down @ self.grids[part] @ across.transpose(0, 2, 1)


METHODS.register("rise", Rise)
