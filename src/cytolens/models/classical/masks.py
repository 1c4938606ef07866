"""Masks of a manifest, whatever codes they are drawn in: 0 background, 1 cytoplasm, 2 nucleus."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.core.errors import InputError

BACKGROUND, CYTOPLASM, NUCLEUS, UNKNOWN = 0, 1, 2, 3
_GREY = (0, 128, 255)  # the same three as grey levels
_FORMS = "codes 0 background, 1 cytoplasm, 2 nucleus, 3 unknown; or grey levels near 0, 128, 255"


def read_mask(path: Path, shape: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Read a mask in either form (`mask_codes`) and return codes, uint8 [H, W].

    Args:
        path: a grey, palette or grey-in-RGB image file.
        shape: height and width of the image that it belongs to; None does not check them.

    Raises:
        InputError: unreadable, coloured, of another size than its image, or in neither form.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"The mask {path} cannot be read: {error}.") from error
    if values.ndim == 3 and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]  # [H, W, 3] grey -> [H, W]
    if values.ndim != 2:
        raise InputError(f"The mask {path} is coloured.", expected=_FORMS)
    if shape is not None and values.shape != shape:
        raise InputError(
            f"The mask {path} has {values.shape[1]} x {values.shape[0]} pixels, its image "
            f"{shape[1]} x {shape[0]}.",
            expected="a mask of the size of its image",
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    return mask_codes(values, f"The mask {path}")


def mask_codes(values: NDArray[np.generic], what: str) -> NDArray[np.uint8]:
    """Return the codes of a mask in either form, uint8 [H, W].

    The form is told by the largest value: up to 3 are codes (3, unknown, counts as background);
    from 64 on the values are grey levels, and each pixel takes the nearest of 0 (background), 128
    (cytoplasm) and 255 (nucleus).

    Args:
        values: [H, W].
        what: the mask in a message.

    Raises:
        InputError: in neither form.
    """
    whole = values.astype(np.int64)
    largest = int(whole.max())
    if whole.min() < 0 or largest > 255 or UNKNOWN < largest < 64:
        raise InputError(
            f"{what} has values up to {largest}: neither codes nor grey levels.",
            expected=_FORMS,
        )
    if largest <= UNKNOWN:
        return np.asarray(np.where(whole == UNKNOWN, BACKGROUND, whole), np.uint8)
    nearest = np.abs(whole[..., None] - np.array(_GREY)).argmin(axis=-1)  # [H, W, 3] -> [H, W]
    return np.asarray(nearest, np.uint8)


def fit_mask(
    mask: NDArray[np.uint8], size: tuple[int, int], *, letterbox: bool
) -> NDArray[np.uint8]:
    """Bring codes to `size` (height, width) as `pixels.preprocess` brings the image there.

    Args:
        mask: uint8 [H, W].
        letterbox: keep the aspect ratio; what is padded is background.
    """
    height, width = size
    if mask.shape == size:
        return mask
    inner = size
    if letterbox:
        scale = min(height / mask.shape[0], width / mask.shape[1])
        inner = (
            min(height, max(1, round(mask.shape[0] * scale))),
            min(width, max(1, round(mask.shape[1] * scale))),
        )
    small = cv2.resize(mask, inner[::-1], interpolation=cv2.INTER_NEAREST)
    out = np.full(size, BACKGROUND, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    out[top : top + inner[0], left : left + inner[1]] = small
    return out
