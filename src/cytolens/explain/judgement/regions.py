"""Where the cell is: the regions of a mask, as the network sees the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.models.classical.masks import CYTOPLASM, NUCLEUS, fit_mask, mask_codes, read_mask
from cytolens.pixels.config import PixelsConfig

# Name -> the codes that belong to it.
REGIONS: dict[str, tuple[int, ...]] = {"nucleus": (NUCLEUS,), "cell": (CYTOPLASM, NUCLEUS)}


def region_codes(
    mask: Path | NDArray[np.generic],
    pixels: PixelsConfig,
    size: tuple[int, int],
    shape: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Bring a mask to the network's input with the geometry of its image's preprocessing.

    Args:
        mask: a file, or an array [h, w], in any of the forms of `models.classical.masks`: codes
            0 background, 1 cytoplasm, 2 nucleus, 3 unknown (counts as background), or grey
            levels near 0, 128 (cytoplasm), 255 (nucleus).
        pixels: how images are fitted; the steps before it leave every pixel where it is.
        size: height and width of the network's input.
        shape: height and width of the image as it was read; None does not check it.

    Returns:
        uint8 [H, W]: 0 background, 1 cytoplasm, 2 nucleus, by the nearest pixel; what the
        letterbox pads is background.

    Raises:
        InputError: unreadable, coloured, of another size than its image, or in no known form.
    """
    if isinstance(mask, Path):
        codes = read_mask(mask, shape)
    else:
        if mask.ndim != 2 or (shape is not None and mask.shape != shape):
            raise InputError(
                f"A mask of shape {mask.shape} does not fit its image.",
                expected=f"[height, width]{'' if shape is None else f' = {list(shape)}'}",
            )
        codes = mask_codes(mask, "The mask")
    return fit_mask(codes, size, letterbox=pixels.fit == "letterbox")


def region(codes: NDArray[np.integer], name: str) -> NDArray[np.bool_]:
    """Return where a region of `REGIONS` is, bool [H, W]."""
    return np.isin(codes, REGIONS[name])
