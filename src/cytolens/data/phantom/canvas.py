"""The slide under the microscope: optical density, added up, and the mask of the truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.data.phantom.shapes import Field, Points

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2

_SHIFT = 4  # fractional bits of cv2's polygon coordinates


@dataclass(frozen=True)
class Patch:
    """The part of the canvas that an object covers: `alpha` in 0…1 [h, w] at `rows`, `columns`."""

    rows: slice
    columns: slice
    alpha: Field

    @property
    def shape(self) -> tuple[int, int]:
        return self.alpha.shape[0], self.alpha.shape[1]

    def soft(self, sigma: float) -> Field:
        """Return `alpha` blurred by `sigma` px."""
        return np.asarray(cv2.GaussianBlur(self.alpha, (0, 0), sigma), dtype=np.float32)

    def edge(self, sigma: float) -> Field:
        """Return a band about 2·`sigma` px wide along the inside of the outline, 0…1."""
        return np.asarray(self.alpha * (1.0 - self.soft(sigma)) * 2.0, dtype=np.float32)


class Canvas:
    """A square field of view.

    `od` is the optical density float32 [size, size, 3] (R, G, B; natural logarithm), to which
    objects add (Beer-Lambert: light goes through all of them); `mask` is uint8 [size, size].
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.od: Field = np.zeros((size, size, 3), dtype=np.float32)
        self.mask: NDArray[np.uint8] = np.zeros((size, size), dtype=np.uint8)

    def patch(self, outline: Points, margin: int = 2) -> Patch | None:
        """Return the anti-aliased inside of `outline` [P, 2] (px, x first); None if out of view."""
        low = np.maximum(np.floor(outline.min(0)).astype(int) - margin, 0)
        high = np.minimum(np.ceil(outline.max(0)).astype(int) + margin + 1, self.size)
        if (high <= low).any():
            return None
        width, height = int(high[0] - low[0]), int(high[1] - low[1])
        filled = np.zeros((height, width), dtype=np.uint8)
        corners = np.round((outline - low) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(filled, [corners], 255, cv2.LINE_AA, _SHIFT)
        alpha = filled.astype(np.float32) / np.float32(255)
        return Patch(slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])), alpha)

    def add(self, patch: Patch, amount: Field | float, colour: Field) -> None:
        """Add `amount` (scalar or [h, w]) of a stain of density `colour` [3] inside `patch`."""
        density = patch.alpha * np.asarray(amount, dtype=np.float32)
        self.od[patch.rows, patch.columns] += density[..., None] * colour

    def thin(self, patch: Patch, share: Field | float) -> None:
        """Take away `share` (0…1, scalar or [h, w]) of the density inside `patch`."""
        left = np.float32(1) - patch.alpha * share
        self.od[patch.rows, patch.columns] *= left[..., None]

    def label(self, patch: Patch, value: int) -> None:
        """Write `value` into the mask where `patch` covers at least half of a pixel."""
        self.mask[patch.rows, patch.columns][patch.alpha >= 0.5] = value
