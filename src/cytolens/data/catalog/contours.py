"""Masks from what the sets ship: contour files (SIPaKMeD) and colour drawings (Herlev)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError

BACKGROUND, CYTOPLASM, NUCLEUS, UNKNOWN = 0, 1, 2, 3
_OUTSIDE = 0.1  # share of points that may lie outside the image; contours touch its border


def read_contour(path: Path) -> NDArray[np.float64]:
    """Return the points of a contour file, float64 [n, 2] as x, y: one "x,y" a line.

    Raises:
        InputError: a line holds no two numbers, or there are fewer than three points.
    """
    points = []
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = [cell for cell in re.split(r"[,;\s]+", line.strip()) if cell]
        try:
            x, y = (float(cell) for cell in cells)
        except ValueError as error:
            raise InputError(
                f"{path.name}, line {number}: {line.strip()[:40]!r} is not a point.",
                expected="two numbers, x and y, separated by a comma",
            ) from error
        points.append((x, y))
    if len(points) < 3:
        raise InputError(f"{path.name} holds {len(points)} points.", expected="at least three")
    return np.array(points, dtype=np.float64)


def contours_to_mask(
    shape: tuple[int, int],
    cytoplasm: NDArray[np.float64] | None,
    nucleus: NDArray[np.float64] | None,
) -> NDArray[np.uint8]:
    """Fill the polygons: 0 background, 1 cytoplasm, 2 nucleus (drawn over the cytoplasm).

    Args:
        shape: height and width of the mask.
        cytoplasm: float [n, 2], x and y in pixels, or None.
        nucleus: float [n, 2], or None.

    Raises:
        InputError: more than a tenth of a contour lies outside the image.
    """
    mask = np.zeros(shape, dtype=np.uint8)
    for points, value, name in ((cytoplasm, CYTOPLASM, "cytoplasm"), (nucleus, NUCLEUS, "nucleus")):
        if points is None:
            continue
        limits = np.array([shape[1], shape[0]])
        outside = ((points < -1) | (points > limits)).any(axis=1).mean()
        if outside > _OUTSIDE or not np.isfinite(points).all():
            raise InputError(
                f"{outside:.0%} of the {name} contour lie outside the image of "
                f"{shape[1]} x {shape[0]} pixels."
            )
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], value)
    return mask


def colours_to_mask(
    image: NDArray[np.uint8], colours: Mapping[tuple[int, int, int], int]
) -> NDArray[np.uint8]:
    """Give each pixel of a colour drawing the value of the nearest colour, uint8 [H, W].

    Nearest rather than equal, because copies of the drawings were saved as JPEG.

    Args:
        image: uint8 RGB [H, W, 3].
        colours: {(R, G, B): value}.
    """
    palette = np.array(list(colours), dtype=np.int32)  # [k, 3]
    values = np.array(list(colours.values()), dtype=np.uint8)
    difference = image[:, :, None, :].astype(np.int32) - palette  # [H, W, k, 3]
    nearest = (difference**2).sum(axis=-1).argmin(axis=-1)  # [H, W]
    mask: NDArray[np.uint8] = values[nearest]
    return mask
