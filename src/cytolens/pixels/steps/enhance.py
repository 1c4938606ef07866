"""Sharpness and contrast: unsharp masking and CLAHE."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cytolens.pixels.check import between, require
from cytolens.pixels.image import Image


@dataclass(frozen=True)
class Sharpen:
    """Unsharp masking: add `amount` times the difference between the image and its blur."""

    amount: float = 1.0  # of the difference; 0 changes nothing
    sigma: float = 1.0  # of the blur, pixels

    def __post_init__(self) -> None:
        require(
            "sharpen",
            [between("amount", self.amount, 0, 10), between("sigma", self.sigma, 0.1, 100)],
        )

    def __call__(self, image: Image) -> Image:
        """Sharpen uint8 [H, W, 3] → uint8 [H, W, 3]; values saturate at 0 and 255."""
        blur = cv2.GaussianBlur(image, (0, 0), self.sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(cv2.addWeighted(image, 1 + self.amount, blur, -self.amount, 0), np.uint8)


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of L in L*a*b*.

    Colour (a*, b*) stays, so that a stain keeps its hue.
    """

    clip: float = 2.0  # limit of the slope of the mapping; 1 hardly changes the image
    tiles: int = 8  # tiles along each axis

    def __post_init__(self) -> None:
        require("clahe", [between("clip", self.clip, 1, 100), between("tiles", self.tiles, 1, 64)])

    def __call__(self, image: Image) -> Image:
        """Equalise uint8 [H, W, 3] → uint8 [H, W, 3]."""
        height, width = image.shape[:2]
        grid = (min(self.tiles, width), min(self.tiles, height))  # never a tile below one pixel
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        lab[..., 0] = cv2.createCLAHE(self.clip, grid).apply(np.ascontiguousarray(lab[..., 0]))
        return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
