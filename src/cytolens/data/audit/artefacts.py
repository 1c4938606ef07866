"""Burned-in artefacts: scale bars, text boxes and letterbox borders that a network could read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import bdtrc

from cytolens.data.facts import THUMB, Facts
from cytolens.data.manifest import Manifest

Region = tuple[float, float, float, float]

_WHITE, _BLACK = 253, 12  # brightest pixel of a cell, mean grey of a cell
_WINDOW = 17  # cells; about half the picture, so that a mark is a minority of its surroundings
_EXCESS = 0.2  # share of images by which a mark's cells stand out of their surroundings
_CHANCE = 1e-6  # binomial probability below which a cell counts, for small classes
# cells about a mark whose share must be lower too: light falls off slowly, a mark at once
_RING = 2
_MIN_IMAGES = 10
_MIN_CELLS = 2
_MAX_AREA = 0.2  # of the picture; a larger patch is background, no mark
_FLAT_RANGE = 3  # grey levels within a border row of one colour
_FLAT_SHARE = 0.1


def find_artefacts(
    manifest: Manifest, facts: Facts, usable: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return [{class, region, share, kind}, …]; class None means the whole set.

    Args:
        usable: bool [n], images without problems.

    `region` is [x0, y0, x1, y1] as fractions of width and height; `share` is the share of the
    class's images that show it; `kind` is "bright mark", "dark mark" or "flat border".
    """
    white, black = facts.bright >= _WHITE, facts.thumbs <= _BLACK
    found: list[dict[str, Any]] = []
    parts: list[tuple[str | None, NDArray[np.bool_]]] = [
        (name, usable & (manifest.labels == c)) for c, name in enumerate(manifest.classes)
    ]
    for label, rows in [*parts, (None, usable)]:
        for kind, cells in (("bright mark", white), ("dark mark", black)):
            for region, share in _marks(cells[rows]):
                if label is not None or not _seen(found, region, kind):
                    found.append(_entry(label, region, share, kind))
    found += _borders(facts.thumbs, parts, usable)
    return found


def _entry(label: str | None, region: Region, share: float, kind: str) -> dict[str, Any]:
    return {
        "class": label,
        "region": [round(side, 4) for side in region],
        "share": round(share, 4),
        "kind": kind,
    }


def _marks(cells: NDArray[np.bool_]) -> Iterator[tuple[Region, float]]:
    """Yield patches whose cells are lit in far more images than the cells around them.

    Args:
        cells: bool [n, 32, 32], whether a cell of an image is saturated.
    """
    n = len(cells)
    if n < _MIN_IMAGES:
        return
    share = cells.mean(axis=0)  # [32, 32]
    around = _surroundings(share)
    chance = bdtrc(cells.sum(axis=0) - 1, n, np.clip(around, 0.02, 0.98))  # P(as many or more)
    lit = (share - around >= _EXCESS) & (chance < _CHANCE)
    patches, count = ndimage.label(lit)
    for patch in range(1, count + 1):
        inside = patches == patch
        ring = ndimage.binary_dilation(inside, iterations=_RING) & ~inside
        sharp = share[inside].mean() - share[ring].mean() >= _EXCESS
        if sharp and _MIN_CELLS <= inside.sum() <= _MAX_AREA * THUMB * THUMB:
            rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
            x0, x1 = columns[0] / THUMB, (columns[-1] + 1) / THUMB
            y0, y1 = rows[0] / THUMB, (rows[-1] + 1) / THUMB
            yield (float(x0), float(y0), float(x1), float(y1)), float(share[inside].max())


def _surroundings(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of the window about each cell, clipped at the edges, [32, 32]."""
    half = _WINDOW // 2
    padded = np.pad(share, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW))
    return np.nanmedian(windows.reshape(THUMB, THUMB, -1), axis=-1)


def _seen(found: list[dict[str, Any]], region: Region, kind: str) -> bool:
    return any(entry["kind"] == kind and _overlap(entry["region"], region) for entry in found)


def _overlap(one: list[float], other: Region) -> bool:
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(
        one[1], other[1]
    )


def _borders(
    thumbs: NDArray[np.uint8],
    parts: list[tuple[str | None, NDArray[np.bool_]]],
    usable: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Return letterbox borders: opposite sides of one flat colour, a picture on the others."""
    depth = np.stack([_flat_depth(np.rot90(thumbs, k, axes=(1, 2))) for k in range(4)], axis=1)
    top, right, bottom, left = depth.T  # rows of cells, int [n] each
    wide = (np.minimum(top, bottom) > 0) & (np.minimum(left, right) == 0)
    tall = (np.minimum(left, right) > 0) & (np.minimum(top, bottom) == 0)
    found = []
    whole = (wide | tall)[usable].mean() if usable.any() else 0.0
    shares = [(wide | tall)[rows].mean() if rows.any() else 0.0 for _, rows in parts]
    if whole >= _FLAT_SHARE and max(shares) - min(shares) < _EXCESS:
        parts = [(None, usable)]
    for label, rows in parts:
        for boxed, one, other, across in ((wide, top, bottom, False), (tall, left, right, True)):
            share = float(boxed[rows].mean()) if rows.any() else 0.0
            if share >= _FLAT_SHARE and rows.sum() >= _MIN_IMAGES:
                a, b = (float(np.median(d[rows & boxed])) / THUMB for d in (one, other))
                regions = (
                    [(0.0, 0.0, a, 1.0), (1 - b, 0.0, 1.0, 1.0)]
                    if across
                    else [(0.0, 0.0, 1.0, a), (0.0, 1 - b, 1.0, 1.0)]
                )
                found += [_entry(label, region, share, "flat border") for region in regions]
    return found


def _flat_depth(thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many rows from the top are one flat colour, int64 [n]; 0 for a flat picture."""
    values = thumbs.astype(np.int16)
    flat = np.ptp(values, axis=2) <= _FLAT_RANGE  # [n, 32]
    means = values.mean(axis=2)
    flat &= np.abs(means - means[:, :1]) <= _FLAT_RANGE
    depth = np.where(flat.all(axis=1), 0, flat.argmin(axis=1))
    return depth.astype(np.int64)
