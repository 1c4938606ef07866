"""Distances between features: how far an image is from some training images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unit_length(features: Floats) -> Floats:
    """Return rows of length 1, float64 [n, d]; a row of zeros stays as it is."""
    scale = np.abs(features).max(axis=1, keepdims=True, initial=0.0)
    scaled = features / np.where(scale > 0, scale, 1.0)  # whose squares neither over- nor underflow
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(scaled / np.where(length > 0, length, 1.0), np.float64)


def nearest(
    unit: Floats, reference: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the nearest references of each row, the nearest first.

    Args:
        unit: float64 [n, d] of unit length.
        reference: float32 [m, d] of unit length.
        count: k, at most m.

    Returns:
        rows of `reference`, int64 [n, k], and Euclidean distances, float64 [n, k], 0 to 2.
    """
    likeness = unit.astype(np.float32) @ reference.T  # [n, m]
    places = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    # Differences, because 2 - 2 cos loses all its digits between images that are alike.
    found = np.stack([np.linalg.norm(unit - reference[one], axis=1) for one in places.T], axis=1)
    order = np.lexsort((places, found), axis=1)
    taken = np.take_along_axis(places, order, axis=1)
    distances = np.take_along_axis(found, order, axis=1)
    return np.asarray(taken, np.int64), np.asarray(distances, np.float64)
