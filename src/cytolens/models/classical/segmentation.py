"""Where nuclei and cytoplasm are, by optical density and Otsu's threshold: no learning."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.masks import BACKGROUND, CYTOPLASM, NUCLEUS

_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)  # of each grey level
_BLUR = 1 / 150  # standard deviation of the smoothing, as a part of the shorter side
_LIGHT = 5.0  # per cent of the pixels that are brighter than the light of the background
_CELL = 0.12  # mean optical density over the background from which something is stained
_NUCLEAR = np.array([1.0, 2.0, 0.0], dtype=np.float32) / 3  # of R, G, B: what nuclei absorb most
_CONTRAST = 0.1  # least optical density between nuclei and the rest of the cells
_LEVELS = 100.0  # steps of optical density in a histogram


def segment(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tell background, cytoplasm and nuclei apart: uint8 [H, W, 3] -> codes uint8 [H, W].

    In optical density over the light of the background, where stains add up (Ruifrok and Johnston
    2001): what is denser than Otsu's threshold (Otsu 1979), or than a small fixed one where stain
    is everywhere, is a cell; within the cells Otsu's threshold on red and green, which nuclei of
    Pap, Giemsa and haematoxylin stains absorb, gives the nuclei. Specks are opened away, holes
    filled. All cells of the image are found, not only the middle one. An image without such a
    contrast has no nuclei.
    """
    sigma = max(0.7, _BLUR * min(image.shape[:2]))
    density = cv2.GaussianBlur(cv2.LUT(image, _DENSITY), (0, 0), sigma)  # float32 [H, W, 3]
    light = np.percentile(density.reshape(-1, 3), _LIGHT, axis=0).astype(np.float32)
    density = np.maximum(density - light, 0)
    cells = _above(density.mean(axis=2), None, _CELL)
    if cells is None:
        return np.full(image.shape[:2], BACKGROUND, np.uint8)
    nuclear = density @ _NUCLEAR  # [H, W]
    nuclei = _above(nuclear, cells, np.inf)
    parts = np.where(_filled(cells), CYTOPLASM, BACKGROUND).astype(np.uint8)
    if nuclei is not None and _separate(nuclear, nuclei, cells):
        parts[_filled(_cleaned(nuclei)) > 0] = NUCLEUS
    return parts


def _above(
    values: NDArray[np.float32], where: NDArray[np.uint8] | None, most: float
) -> NDArray[np.uint8] | None:
    """Return where `values` exceed Otsu's threshold (at `most`), 0 and 1; None if all are equal.

    Args:
        where: the pixels that count, 0 and 1.
    """
    steps = np.clip(values * _LEVELS, 0, 255).astype(np.uint8)
    some = steps.ravel() if where is None else steps[where > 0]
    if len(some) == 0 or some.min() == some.max():
        return None
    threshold, _ = cv2.threshold(some.reshape(-1, 1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    found = np.asarray(steps > min(threshold, most * _LEVELS), np.uint8)
    return found if where is None else found & where


def _separate(
    nuclear: NDArray[np.float32], nuclei: NDArray[np.uint8], cells: NDArray[np.uint8]
) -> bool:
    inside, beside = nuclear[nuclei > 0], nuclear[(cells > 0) & (nuclei == 0)]
    if len(inside) == 0 or len(beside) == 0:
        return False
    return bool(inside.mean() - beside.mean() >= _CONTRAST)


def _cleaned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc), np.uint8)


def _filled(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill what the border cannot reach, uint8 [H, W] of 0 and 1."""
    padded = np.pad(mask, 1)
    outside = padded.copy()
    cv2.floodFill(outside, None, (0, 0), 1)
    return np.asarray(padded | (1 - outside), np.uint8)[1:-1, 1:-1]
