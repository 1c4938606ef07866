"""What a large image is: a size, levels, and regions that can be read."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cytolens.bundle.inputs import Image
from cytolens.core.errors import InputError

WHITE = 255  # what lies outside of a field, and what no tile was stored for
_PLAUSIBLE = (0.02, 20.0)  # µm/px of a microscope; the 72 dpi of a picture program are 353


class FieldProblem(Exception):
    """One region of a field that cannot be read."""


class Field(Protocol):
    """A large image.

    Attributes:
        size: width and height in pixels of level 0, the finest.
        downsamples: of each level, 1.0 first.
        um_per_px: micrometres a pixel of level 0; None where the file does not say.
    """

    size: tuple[int, int]
    downsamples: tuple[float, ...]
    um_per_px: float | None

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Image:
        """Return a region, uint8 RGB [height, width, 3]; white outside of the field.

        Args:
            x, y: left upper corner in pixels of level 0.
            width, height: in pixels of `level`.

        Raises:
            InputError: there is no such level.
            FieldProblem: this region is damaged.
        """
        ...

    def close(self) -> None:
        """Close its file."""
        ...


class ArrayField:
    """An image in memory, uint8 [H, W, 3], as a field of one level."""

    def __init__(self, image: Image, name: str = "the image") -> None:
        self._image, self._name = image, name
        self.size = image.shape[1], image.shape[0]
        self.downsamples: tuple[float, ...] = (1.0,)
        self.um_per_px: float | None = None

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Image:
        check_level(self, level, self._name)
        found = np.full((height, width, 3), WHITE, np.uint8)
        left, top = max(x, 0), max(y, 0)
        part = self._image[top : max(y + height, 0), left : max(x + width, 0)]
        found[top - y : top - y + len(part), left - x : left - x + part.shape[1]] = part
        return found

    def close(self) -> None:
        """Do nothing: there is no file."""


def check_level(field: Field, level: int, name: str) -> None:
    """Refuse a level that a field does not have.

    Raises:
        InputError: there is no such level.
    """
    if not 0 <= level < len(field.downsamples):
        have = ", ".join(f"{i} (1/{d:g})" for i, d in enumerate(field.downsamples))
        raise InputError(f"{name} has no level {level}.", expected=f"one of {have}")


def plausible(um_per_px: float | str | None) -> float | None:
    """Return micrometres a pixel as a number, None where no microscope would make them."""
    try:
        value = float(um_per_px or 0)
    except ValueError:
        return None
    return value if _PLAUSIBLE[0] <= value <= _PLAUSIBLE[1] else None
