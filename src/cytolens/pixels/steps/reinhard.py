"""Colour transfer to fixed statistics: Reinhard et al. 2001, "Color transfer between images"."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cytolens.pixels.check import between, require
from cytolens.pixels.image import Image

FLAT = 0.1  # a spread below this, in units of L*a*b*, is no colour distribution


@dataclass(frozen=True)
class Reinhard:
    """Shift and scale L*, a*, b* of the whole image to a target mean and standard deviation.

    CIE L*a*b* (L 0-100) takes the place of the paper's l-alpha-beta, as is usual for stains. The
    default target is the average over 153 H&E tiles of the BCSS set (CC0); for another stain state
    the statistics of a reference image. They are taken over all pixels, so a field with few cells
    moves differently from a crowded one: for sparse smears prefer no normalisation.
    A channel without spread is only shifted; a blank image is returned unchanged.
    """

    mean: tuple[float, float, float] = (59.2, 40.3, -26.9)  # target of L*, a*, b*
    std: tuple[float, float, float] = (12.6, 9.0, 8.7)  # target of L*, a*, b*

    def __post_init__(self) -> None:
        rules = [between("mean of L", self.mean[0], 0, 100)]
        rules += [
            between(f"mean of {c}", m, -128, 127) for c, m in zip("ab", self.mean[1:], strict=True)
        ]
        rules += [between(f"std of {c}", s, 0, 100) for c, s in zip("Lab", self.std, strict=True)]
        require("reinhard", rules)

    def __call__(self, image: Image) -> Image:
        """Normalise uint8 [H, W, 3] → uint8 [H, W, 3]; colours outside sRGB are clipped."""
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        mean, std = (m.reshape(3) for m in cv2.meanStdDev(lab))
        if std.max() < FLAT:
            return image
        scale = np.where(std < FLAT, 1.0, np.asarray(self.std) / np.maximum(std, FLAT))
        lab = lab * scale.astype(np.float32) + (self.mean - mean * scale).astype(np.float32)
        rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
        return np.asarray(np.rint(rgb.clip(0, 1) * 255), np.uint8)
