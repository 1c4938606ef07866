"""Occlusion: how much of the target's probability is lost when a window is covered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS
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
class Occlusion:
    """Per pixel, the mean drop of the probability over the windows that cover it.

    Zeiler and Fergus 2014, section 4.2. A magnitude of .1 says: covering this place costs .1 of
    probability; negative: covering it helps the target.

    Attributes:
        window: side of the square in pixels; None: a seventh of the shorter side.
        stride: pixels from one window to the next; None: half the window. The last window of a row
            or column ends with the image, so that each pixel is covered.
        baseline: colour of the square: "mean" of the network or "black".
    """

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Occlusion"
    source: ClassVar[str] = "Zeiler and Fergus 2014"
    signed: ClassVar[bool] = True
    seeded: ClassVar[bool] = False

    window: int | None = None
    stride: int | None = None
    baseline: Colour = "mean"

    def __post_init__(self) -> None:
        wrong = [
            f"{name} = {value}: at least 1"
            for name, value in (("window", self.window), ("stride", self.stride))
            if value is not None and value < 1
        ]
        if not wrong and self.window is not None and (self.stride or 1) > self.window:
            wrong = [f"stride = {self.stride}: at most window = {self.window}, or pixels are left"]
        refuse(self.name, wrong + wrong_baseline(self.baseline))

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        method = self._sized(subject.size)
        assert method.window is not None and method.stride is not None
        rows, columns = windows(subject.size, method.window, method.stride)
        covering = np.outer(rows.sum(0), columns.sum(0))  # windows over each pixel, [H, W]
        ground = colour_of(subject, self.baseline)

        def one(image: NDArray[np.uint8], target: Target) -> Outcome:
            if (image == ground).all():  # nothing can be covered
                return Outcome(np.zeros(subject.size, np.float32))
            values = probabilities(subject, image, _masks(rows, columns), target, ground)
            drops = (values[0] - values[1:]).reshape(len(rows), len(columns))
            # sum over windows (a, b) of drop · row a · column b, [H, W]
            found = rows.T.astype(np.float64) @ drops @ columns
            return Outcome((found / covering).astype(np.float32))

        return one_by_one(method, subject, images, targets, one)

    def _sized(self, size: tuple[int, int]) -> Occlusion:
        """Return the method with window and stride in pixels.

        Raises:
            InputError: a window larger than the image.
        """
        window = max(1, round(min(size) / 7)) if self.window is None else self.window
        if window > min(size):
            raise InputError(
                f"A window of {window} px does not fit into an image of {size[0]} x {size[1]}.",
                expected=f"at most {min(size)}",
            )
        return replace(self, window=window, stride=self.stride or max(1, window // 2))


def windows(
    size: tuple[int, int], window: int, stride: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return which rows, [a, H], and which columns, [b, W], each place of a window covers: 1 or 0.

    The windows are all pairs of the two.
    """
    found = []
    for length in size:
        last = length - window
        starts = np.array([*range(0, last, stride), last])
        pixel = np.arange(length)
        covered = (pixel >= starts[:, None]) & (pixel < starts[:, None] + window)
        found.append(covered.astype(np.float32))
    return found[0], found[1]


def _masks(
    rows: NDArray[np.float32], columns: NDArray[np.float32]
) -> Iterator[NDArray[np.float32]]:
    """Yield masks [m, H, W]: first the whole image, then each window covered, row by row."""
    yield np.ones((1, rows.shape[1], columns.shape[1]), np.float32)
    row, column = np.divmod(np.arange(len(rows) * len(columns)), len(columns))
    for part in chunks(len(row)):
        yield 1 - rows[row[part], :, None] * columns[column[part], None, :]


METHODS.register("occlusion", Occlusion)
