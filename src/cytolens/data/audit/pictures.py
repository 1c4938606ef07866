"""Pictures for the audit's page: thumbnails and class means as data URIs, the size histogram."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.data.manifest import Manifest
from cytolens.data.reading import ImageProblem, read_image

_SIDE = 112  # longer side of a thumbnail
_MEAN_SIDE = 160
_MEAN_OF = 40  # images a mean picture is made of
_QUALITY = 82


class Thumbnail(NamedTuple):
    """One small picture: its id, a short name for people, the label, and a data URI or ""."""

    id: str
    short: str
    label: str
    uri: str


class Cell(NamedTuple):
    """One bin of the size histogram, in a drawing of 100 x 100 units with y downwards."""

    x: float
    y: float
    width: float
    height: float
    opacity: float
    title: str


def thumbnail(manifest: Manifest, row: int) -> Thumbnail:
    """Return the thumbnail of a row; one that cannot be read has an empty URI."""
    entry = manifest.rows[row]
    short = "/".join(entry.id.split("/")[-1:])
    try:
        image = read_image(entry.image)
    except ImageProblem:
        return Thumbnail(entry.id, short, entry.label, "")
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return Thumbnail(
        entry.id, short, entry.label, _uri(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    )


def _uri(image: NDArray[Any]) -> str:
    bgr = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2BGR)
    content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def evenly(rows: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of the rows, spread evenly."""
    if len(rows) <= count:
        return list(rows)
    return [rows[int(i)] for i in np.linspace(0, len(rows) - 1, count)]


def mean_picture(files: Sequence[Path]) -> str:
    """Return the mean of some images, squeezed to a square, as a data URI; "" if none reads."""
    total = np.zeros((_MEAN_SIDE, _MEAN_SIDE, 3))
    count = 0
    for i in evenly(range(len(files)), _MEAN_OF):
        try:
            image = read_image(files[i])
        except ImageProblem:
            continue
        total += cv2.resize(image, (_MEAN_SIDE, _MEAN_SIDE), interpolation=cv2.INTER_AREA)
        count += 1
    return _uri(np.rint(total / count)) if count else ""


def histogram_cells(histogram: Mapping[str, Any]) -> list[Cell]:
    """Return the filled bins of the size histogram; opacity grows with the root of the count."""
    counts = np.array(histogram["counts"])  # [widths, heights]
    if counts.ndim != 2 or not counts.size:
        return []
    x, y = (_places(histogram[f"{side}_edges"]) for side in ("width", "height"))
    cells = []
    for w, h in np.argwhere(counts > 0):
        edges = histogram["width_edges"][w : w + 2], histogram["height_edges"][h : h + 2]
        title = (
            f"{edges[0][0]:.0f}–{edges[0][1]:.0f} x {edges[1][0]:.0f}–{edges[1][1]:.0f} pixels: "
            f"{counts[w, h]:,} images"
        )
        cells.append(
            Cell(
                round(x[w], 2),
                round(100 - y[h + 1], 2),
                round(x[w + 1] - x[w], 2),
                round(y[h + 1] - y[h], 2),
                round(0.15 + 0.85 * float(np.sqrt(counts[w, h] / counts.max())), 3),
                title,
            )
        )
    return cells


def _places(edges: Sequence[float]) -> list[float]:
    low, high = edges[0], edges[-1]
    return [100 * (edge - low) / (high - low) for edge in edges]
