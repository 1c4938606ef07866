"""Change of size: stretch, or keep the aspect ratio and pad."""

from __future__ import annotations

import cv2
import numpy as np

from cytolens.pixels.config import Border
from cytolens.pixels.image import Image

_LARGE = 2**22  # values of an image; above, four bytes each cost more than they save
_BORDERS = {
    "reflect": cv2.BORDER_REFLECT,  # cba|abc|cba
    "replicate": cv2.BORDER_REPLICATE,  # aaa|abc|ccc
    "black": cv2.BORDER_CONSTANT,
    "white": cv2.BORDER_CONSTANT,
    "median": cv2.BORDER_CONSTANT,
}


def stretch(image: Image, height: int, width: int) -> Image:
    """Resize uint8 [H, W, 3] → uint8 [height, width, 3].

    An axis that shrinks is averaged over areas, one that grows is interpolated linearly.
    """
    smaller = (min(height, image.shape[0]), min(width, image.shape[1]))
    if smaller != image.shape[:2]:
        image = _averaged(image, *smaller)
    if smaller != (height, width):
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    return image


def _averaged(image: Image, height: int, width: int) -> Image:
    """Average uint8 [H, W, 3] over areas → uint8 [height, width, 3]; no axis grows."""
    # For whole areas OpenCV has a faster way of its own, which rounds otherwise.
    whole = image.shape[0] % height == 0 and image.shape[1] % width == 0
    if whole or image.size > _LARGE:
        return np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )
    # Of bytes OpenCV makes the same sums and rounds them alike, but takes a third longer.
    sums = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(sums), np.uint8)


def letterbox(image: Image, height: int, width: int, border: Border) -> Image:
    """Resize uint8 [H, W, 3] to fit, centre it and pad: → uint8 [height, width, 3]."""
    top, left, inner_height, inner_width = inner_box(image.shape[:2], height, width)
    inner = stretch(image, inner_height, inner_width)
    bottom, right = height - inner_height - top, width - inner_width - left
    colour = {"white": (255.0, 255.0, 255.0), "median": rim_colour(inner)}.get(border, (0, 0, 0))
    return np.asarray(
        cv2.copyMakeBorder(inner, top, bottom, left, right, _BORDERS[border], value=colour),
        np.uint8,
    )


def inner_box(shape: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """Return where a letterbox lays an image of `shape` = (H, W): top, left, height, width."""
    scale = min(height / shape[0], width / shape[1])
    inner_height = min(height, max(1, round(shape[0] * scale)))
    inner_width = min(width, max(1, round(shape[1] * scale)))
    return (height - inner_height) // 2, (width - inner_width) // 2, inner_height, inner_width


def rim_colour(image: Image) -> tuple[float, float, float]:
    """Return the median R, G, B of the outermost pixels of uint8 [H, W, 3]: the background's."""
    sides = [image[0], image[-1], image[:, 0], image[:, -1]]
    r, g, b = np.median(np.concatenate(sides), axis=0).round()  # [2H + 2W, 3] → [3]
    return float(r), float(g), float(b)
