"""Where a slide holds anything: stained pixels of a small picture of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.field import Field, FieldProblem
from cytolens.bundle.inputs import Image

THUMBNAIL = 1536  # longest side of the small picture
_BLOCK = 2048  # pixels a side that are read at once
_SATURATION = (10, 40)  # of 255: Otsu's threshold is kept within, see `find_tissue`
_SMALLEST = 256  # pixels a side of a damaged region that is not parted further
_DAMAGED = (200, 0, 200)  # shown, and taken for tissue: its tiles are tried, and named
_WHITE, _BLACK = 235, 20  # brightest channel of glass, and of what lies outside of a scan


class Tissue(NamedTuple):
    """A small picture of a field, and which of its pixels are stained.

    Attributes:
        picture: uint8 RGB [h, w, 3].
        stained: bool [h, w].
        shrink: pixels of level 0 a pixel of the picture.
        note: how it was found, where that is worth knowing.
    """

    picture: Image
    stained: NDArray[np.bool_]
    shrink: float
    note: str


def pick_level(field: Field, shrink: float) -> int:
    """Return the coarsest level that is no coarser than `shrink`, 0 where all are."""
    return max(
        (i for i, d in enumerate(field.downsamples) if d <= shrink * 1.01),
        key=lambda i: field.downsamples[i],
        default=0,
    )


def read_scaled(
    field: Field, x: int, y: int, span: tuple[float, float], size: tuple[int, int]
) -> Image:
    """Return a part of a field at another scale, from the level that is nearest and no coarser.

    It is read in blocks, so that memory depends on `size` alone.

    Args:
        x, y: left upper corner in pixels of level 0.
        span: width and height of the part in pixels of level 0.
        size: width and height of the result.

    Returns:
        uint8 RGB [size[1], size[0], 3], averaged over areas.
    """
    level = pick_level(field, min(span[0] / size[0], span[1] / size[1]))
    down = field.downsamples[level]
    width, height = (max(1, round(s / down)) for s in span)  # in pixels of the level
    if width <= _BLOCK and height <= _BLOCK:
        return _resized(field.read(x, y, width, height, level), size)
    shrink = max(1, int(min(width / size[0], height / size[1])))
    step = max(1, _BLOCK // shrink) * shrink
    rows = []
    for top in range(0, height, step):
        row = []
        for left in range(0, width, step):
            w, h = min(step, width - left), min(step, height - top)
            block = field.read(x + round(left * down), y + round(top * down), w, h, level)
            row.append(_resized(block, (-(-w // shrink), -(-h // shrink))))
        rows.append(np.concatenate(row, axis=1))
    return _resized(np.concatenate(rows, axis=0), size)


def _resized(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    smaller = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def find_tissue(field: Field, side: int = THUMBNAIL) -> Tissue:
    """Find stained pixels: saturated, neither white nor black, after a light median.

    The threshold of saturation is Otsu's (1979, https://doi.org/10.1109/TSMC.1979.4310076), kept
    between 10 and 40 of 255: on a slide that is all tissue Otsu's own would part pale tissue from
    dark. A slide without colour is judged by brightness.

    Args:
        side: longest side of the small picture.
    """
    width, height = field.size
    shrink = max(1.0, max(width, height) / side)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    picture = read_scaled(_Forgiving(field), 0, 0, (width, height), size)
    smooth = np.asarray(cv2.medianBlur(picture, 3)) if min(size) >= 3 else picture
    high, low = smooth.max(axis=2), smooth.min(axis=2)  # [h, w]
    saturation = np.rint(255 * ((high - low) / np.maximum(high, np.float32(1)))).astype(np.uint8)
    if int(saturation.max()) < _SATURATION[0]:
        limit = min(_otsu(high), _WHITE)
        return Tissue(picture, high <= limit, shrink, "the slide has no colour: dark is tissue")
    limit = float(np.clip(_otsu(saturation), *_SATURATION))
    stained = (saturation > limit) & (low < _WHITE) & (high > _BLACK)
    return Tissue(picture, stained, shrink, "")


def _otsu(values: NDArray[np.uint8]) -> float:
    return float(cv2.threshold(values, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[0])


class _Forgiving:
    """A field whose damaged regions are painted instead of raised."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self.size, self.downsamples = field.size, field.downsamples
        self.um_per_px = field.um_per_px

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Image:
        try:
            return self._field.read(x, y, width, height, level)
        except FieldProblem:
            if max(width, height) <= _SMALLEST:
                return np.full((height, width, 3), _DAMAGED, np.uint8)
        found = np.empty((height, width, 3), np.uint8)
        down, w, h = self.downsamples[level], -(-width // 2), -(-height // 2)
        for top in range(0, height, h):
            for left in range(0, width, w):
                at = x + round(left * down), y + round(top * down)
                size = min(w, width - left), min(h, height - top)
                found[top : top + h, left : left + w] = self.read(*at, *size, level)
        return found

    def close(self) -> None:
        """Leave the field open: whoever opened it closes it."""
