"""The random map: the floor that every method must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS, draws_for, upsampled
from cytolens.explain.methods.perturbation import Outcome, one_by_one, refuse
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target


@dataclass(frozen=True)
class RandomMap:
    """Uniform noise of 0…1 on a grid, upsampled as a class activation map is.

    It knows nothing of network and target, and is as smooth as a real map: a method that does not
    beat it has found no more than its blobs would by chance.

    Attributes:
        grid: cells along each side; 7 is what most networks have at 224 px.
        seed: of the draws; each image has its own.
    """

    name: ClassVar[str] = "random_map"
    title: ClassVar[str] = "Random map"
    source: ClassVar[str] = "the floor"
    signed: ClassVar[bool] = False
    seeded: ClassVar[bool] = True

    grid: int = 7
    seed: int = 0

    def __post_init__(self) -> None:
        refuse(self.name, [f"grid = {self.grid}: at least 2"] if self.grid < 2 else [])

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        def one(image: NDArray[np.uint8], target: Target) -> Outcome:
            del target
            draws = draws_for(self.name, self.seed, image)
            cells = draws.random((1, self.grid, self.grid), dtype=np.float32)
            return Outcome(upsampled(cells, subject.size)[0])

        return one_by_one(self, subject, images, targets, one, fast=False)


METHODS.register("random_map", RandomMap)
