"""The grid of tiles over a field: how large a tile is, and which of them hold tissue."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.field import Field
from cytolens.bundle.tissue import Tissue
from cytolens.core.errors import InputError

_FINER = 1.5  # a slide so much coarser than wanted is worth a note
_LARGEST = 4096  # pixels a side of a tile


@dataclass(frozen=True)
class Grid:
    """Tiles side by side from the left upper corner.

    Attributes:
        size: width and height in pixels of the picture of a tile.
        span: width and height of a tile in pixels of level 0.
        um_per_px: of the picture of a tile; None where unknown.
        columns, rows: of all tiles; the last ones may reach over the edge, into white.
        chosen: column and row of each tile that is scored, int32 [n, 2], row by row.
        notes: what was assumed.
    """

    size: tuple[int, int]
    span: tuple[float, float]
    um_per_px: float | None
    columns: int
    rows: int
    chosen: NDArray[np.int32]
    notes: tuple[str, ...]

    def corner(self, index: int) -> tuple[int, int]:
        """Return the left upper corner of a chosen tile in pixels of level 0."""
        column, row = self.chosen[index]
        return round(int(column) * self.span[0]), round(int(row) * self.span[1])


def plan_tiles(
    field: Field,
    tissue: Tissue | None,
    size: tuple[int, int],
    *,
    um_per_px: float | None = None,
    least_tissue: float = 0.05,
) -> Grid:
    """Lay a grid over a field and choose the tiles that hold tissue.

    Args:
        tissue: None chooses all tiles.
        size: width and height in pixels of the picture of a tile.
        um_per_px: wanted of that picture; None takes pixels as they were scanned.
        least_tissue: share of a tile that must be stained.

    Raises:
        InputError: no tile holds tissue, or tiles are no size.
    """
    if not all(0 < side <= _LARGEST for side in size):
        raise InputError(
            f"A tile of {size[0]} x {size[1]} pixels cannot be.",
            expected=f"1 to {_LARGEST} pixels a side",
        )
    factor, notes = _factor(field, um_per_px)
    span = size[0] * factor, size[1] * factor
    columns, rows = (max(1, int(np.ceil(field.size[i] / span[i] - 1e-9))) for i in (0, 1))
    if tissue is None:
        share = np.ones((rows, columns))
    else:
        share = _shares(tissue, span, columns, rows)
        notes += [tissue.note] if tissue.note else []
    chosen = np.argwhere(share >= least_tissue)[:, ::-1].astype(np.int32)  # column, row
    if not len(chosen):
        raise InputError(
            "No tissue was found: nothing is stained.", fix="`--whole` scores every tile."
        )
    scale = None if field.um_per_px is None else field.um_per_px * factor
    return Grid(size, span, scale, columns, rows, chosen, tuple(notes))


def _factor(field: Field, wanted: float | None) -> tuple[float, list[str]]:
    """Return pixels of level 0 a pixel of a tile's picture, and what to say of it."""
    has = field.um_per_px
    if wanted is None:
        scanned = "" if has is None else f" ({has:.3g} µm each)"
        return 1.0, [f"tiles are made of pixels as scanned{scanned}: no scale was asked for"]
    if has is None:
        return 1.0, [
            "the file does not say how large its pixels are: tiles are made of pixels as "
            f"scanned, not at the {wanted:.3g} µm/px asked for"
        ]
    if has > _FINER * wanted:
        return wanted / has, [
            f"scanned at {has:.3g} µm/px, coarser than the {wanted:.3g} asked for: tiles are "
            "enlarged and lack detail"
        ]
    return wanted / has, []


def _shares(
    tissue: Tissue, span: tuple[float, float], columns: int, rows: int
) -> NDArray[np.float64]:
    """Return the stained share of each tile, float64 [rows, columns]; outside is not stained."""
    height, width = tissue.stained.shape
    sums = cv2.integral(tissue.stained.astype(np.uint8))  # [height + 1, width + 1]
    x0, x1 = _edges(columns, span[0] / tissue.shrink, width)
    y0, y1 = _edges(rows, span[1] / tissue.shrink, height)
    inside = (
        sums[np.ix_(y1, x1)] - sums[np.ix_(y0, x1)] - sums[np.ix_(y1, x0)] + sums[np.ix_(y0, x0)]
    )
    area = max(1.0, span[0] / tissue.shrink) * max(1.0, span[1] / tissue.shrink)
    return np.asarray(inside / area, np.float64)


def _edges(count: int, step: float, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last border of each tile in pixels of the small picture."""
    start = np.minimum(np.rint(np.arange(count) * step).astype(np.int64), end - 1)
    stop = np.minimum(np.rint(np.arange(1, count + 1) * step).astype(np.int64), end)
    return start, np.maximum(stop, start + 1)
