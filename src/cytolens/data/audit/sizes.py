"""Image sizes: their 2-D histogram, and the input size it recommends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BINS = 24
_NEARLY_SQUARE = 1.15  # ratio of the sides up to which a square input is recommended
_LARGEST = 512  # longer side of an input that a pretrained network still handles sensibly
_SMALLEST = 32  # shorter side; below it the deep layers of the networks have nothing left


def describe_sizes(sizes: NDArray[np.int64]) -> dict[str, Any]:
    """Return the `sizes` entry of the audit.

    Args:
        sizes: int64 [n, 2], width and height of the usable images.
    """
    if not len(sizes):
        nothing = {"height": 224, "width": 224, "why": "no image could be read"}
        histogram: dict[str, list[float]] = {"width_edges": [], "height_edges": [], "counts": []}
        return {
            **{name: [0, 0] for name in ("min", "max", "median", "mode")},
            "histogram": histogram,
            "recommended": nothing,
        }
    edges = [_edges(sizes[:, axis]) for axis in (0, 1)]
    counts, _, _ = np.histogram2d(sizes[:, 0], sizes[:, 1], bins=edges)  # [widths, heights]
    w, h = np.unravel_index(int(counts.argmax()), counts.shape)
    one_size = bool((sizes == sizes[0]).all())
    mode: list[float] = (
        [int(n) for n in sizes[0]]
        if one_size
        else [float(np.mean(edges[0][w : w + 2])), float(np.mean(edges[1][h : h + 2]))]
    )
    return {
        "min": sizes.min(axis=0).tolist(),
        "max": sizes.max(axis=0).tolist(),
        "median": np.median(sizes, axis=0).tolist(),
        "mode": mode,
        "histogram": {
            "width_edges": edges[0].tolist(),
            "height_edges": edges[1].tolist(),
            "counts": counts.astype(int).tolist(),
        },
        "recommended": _recommend(mode, one_size),
    }


def _edges(values: NDArray[np.int64]) -> NDArray[np.float64]:
    low, high = int(values.min()), int(values.max())
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, min(_BINS, high - low) + 1)


def _recommend(mode: list[float], one_size: bool) -> dict[str, Any]:
    """Recommend the mode of the 2-D histogram, aspect ratio kept (contrastive2023, section III)."""
    width, height = mode
    why = (
        f"all images have {width:g} x {height:g} pixels"
        if one_size
        else f"most images lie near {width:.0f} x {height:.0f} pixels "
        "(the mode of the 2-D histogram)"
    )
    if width == height:
        why += ", square"
    elif max(mode) / min(mode) <= _NEARLY_SQUARE:
        width = height = max(mode)
        why += "; nearly square, so a square input with the aspect ratio kept by padding"
    else:
        why += "; the aspect ratio is kept"
    scale = min(1.0, _LARGEST / max(width, height))
    step = 16 if scale < 1 else 1 if one_size else 10
    if scale < 1:
        why += f"; scaled down to at most {_LARGEST} pixels, beyond which networks slow down"
    sides = [max(_SMALLEST, round(side * scale / step) * step) for side in (width, height)]
    if _SMALLEST in sides and min(width, height) * scale < _SMALLEST:
        why += f"; no side below {_SMALLEST} pixels, which deep networks need"
    return {"height": int(sides[1]), "width": int(sides[0]), "why": why}
