"""One image as the handcrafted features see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.segmentation import segment


@dataclass(frozen=True)
class Sample:
    """An image and, where it is known, which pixels are nucleus and cytoplasm.

    Attributes:
        image: uint8 RGB [H, W, 3].
        mask: uint8 [H, W] in the codes of `masks` (0 background, 1 cytoplasm, 2 nucleus), or None.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None = None

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """Luma (ITU-R BT.601), uint8 [H, W]."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.uint8)

    @cached_property
    def parts(self) -> NDArray[np.uint8]:
        """The mask, else the built-in segmentation, uint8 [H, W]."""
        return segment(self.image) if self.mask is None else self.mask
