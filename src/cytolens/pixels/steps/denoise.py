"""Noise filters: median, Gaussian and non-local means."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cytolens.pixels.check import between, odd, require
from cytolens.pixels.image import Image


@dataclass(frozen=True)
class Median:
    """Replace each pixel by the median of its window, channel by channel: against specks."""

    size: int = 3  # side of the window, pixels, odd

    def __post_init__(self) -> None:
        require("median", [odd("size", self.size, 255)])

    def __call__(self, image: Image) -> Image:
        """Filter uint8 [H, W, 3] → uint8 [H, W, 3]."""
        return np.asarray(cv2.medianBlur(image, self.size), np.uint8)


@dataclass(frozen=True)
class Gaussian:
    """Smooth with a Gaussian, borders reflected: against sensor noise, at the cost of edges."""

    sigma: float = 1.0  # standard deviation, pixels

    def __post_init__(self) -> None:
        require("gaussian", [between("sigma", self.sigma, 0.1, 100)])

    def __call__(self, image: Image) -> Image:
        """Filter uint8 [H, W, 3] → uint8 [H, W, 3]."""
        return np.asarray(
            cv2.GaussianBlur(image, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT), np.uint8
        )


@dataclass(frozen=True)
class NonLocalMeans:
    """Average patches that look alike (Buades, Coll and Morel 2005): keeps edges, costs time.

    Lightness and colour are filtered apart in L*a*b*, as in OpenCV's coloured version.
    """

    strength: float = 3.0  # of the lightness, grey levels
    colour_strength: float = 3.0  # of a* and b*
    patch: int = 7  # side of a compared patch, pixels, odd
    window: int = 21  # side of the searched window, pixels, odd

    def __post_init__(self) -> None:
        require(
            "nlm",
            [
                between("strength", self.strength, 0, 100),
                between("colour_strength", self.colour_strength, 0, 100),
                odd("patch", self.patch, 31),
                odd("window", self.window, 63),
            ],
        )

    def __call__(self, image: Image) -> Image:
        """Filter uint8 [H, W, 3] → uint8 [H, W, 3]."""
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        smooth = cv2.fastNlMeansDenoisingColored(
            bgr, None, self.strength, self.colour_strength, self.patch, self.window
        )
        return np.asarray(cv2.cvtColor(smooth, cv2.COLOR_BGR2RGB), np.uint8)
