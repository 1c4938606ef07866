"""Blood smears: keep what is stained purple, paint the rest black."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cytolens.pixels.check import between, require
from cytolens.pixels.image import Image

Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class HsvSegment:
    """Segment by thresholds in HSV, as the segmented twins of the Taleghani ALL set were made.

    murtoza, which used those twins, prints no thresholds. The defaults were chosen by eye on that
    set: purple nuclei and cells stay, red cells, plasma and the burned-in
    scale bars (black, white, red) go. Small holes are filled, specks are dropped.
    """

    hue_low: float = 236.0  # degrees; blue is 240
    hue_high: float = 335.0  # degrees; magenta is 300, red is 360
    saturation: float = 0.22  # least, 0-1
    pink: float = 262.0  # degrees; from this hue on no red cell is found: pale cells may stay
    pale: float = 0.13  # least from `pink` on, 0-1
    value: float = 0.15  # least, 0-1: black has no hue
    smallest: float = 0.001  # least area of a kept piece, as a part of the image
    hole: float = 0.005  # a hole smaller than this part of the image is filled

    def __post_init__(self) -> None:
        require(
            "hsv_segment",
            [
                between("hue_low", self.hue_low, 0, 360),
                between("hue_high", self.hue_high, self.hue_low, 360),
                between("saturation", self.saturation, 0, 1),
                between("pink", self.pink, 0, 360),
                between("pale", self.pale, 0, 1),
                between("value", self.value, 0, 1),
                between("smallest", self.smallest, 0, 1),
                between("hole", self.hole, 0, 1),
            ],
        )

    def __call__(self, image: Image) -> Image:
        """Blacken what is not kept: uint8 [H, W, 3] → uint8 [H, W, 3]."""
        return np.asarray(image * self.mask(image)[..., None], np.uint8)

    def mask(self, image: Image) -> Mask:
        """Return what is kept of uint8 [H, W, 3]: uint8 [H, W], 1 kept, 0 not."""
        hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        high = (self.hue_high, 1.0, 1.0)
        purple = cv2.bitwise_or(
            cv2.inRange(hsv, (self.hue_low, self.saturation, self.value), high),
            cv2.inRange(hsv, (max(self.pink, self.hue_low), self.pale, self.value), high),
        )
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        purple = cv2.morphologyEx(purple, cv2.MORPH_OPEN, cross)  # cut threads and single pixels
        kept = _drop_small(np.asarray(purple, np.uint8), self.smallest * purple.size)
        background = _drop_small(np.asarray(1 - kept, np.uint8), self.hole * purple.size)
        return np.asarray(1 - background, np.uint8)


def _drop_small(mask: Mask, least: float) -> Mask:
    """Return the 8-connected pieces of uint8 [H, W] with at least `least` pixels, as 0 and 1."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= least  # [pieces + 1], the first is the background
    keep[0] = False
    return np.asarray(keep[labels], np.uint8)
