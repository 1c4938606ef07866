"""Texture by grey-level co-occurrence (Haralick, Shanmugam and Dinstein 1973)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.sample import Sample

LEVELS = 32
DISTANCES = (1, 2, 4)  # pixels
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
NAMES = tuple(
    f"glcm_{name}_{distance}px_{part}"
    for name in PROPERTIES
    for distance in DISTANCES
    for part in ("mean", "range")
)


def glcm(sample: Sample) -> NDArray[np.float64]:
    """Return each property at each distance: its mean and range over four angles, [36].

    Grey is cut into 32 levels; the matrices are symmetric and sum to 1. Mean and range over the
    angles do not change when an image is turned by quarters (Haralick's own advice).
    """
    from skimage.feature import graycomatrix, graycoprops

    steps = sample.grey // (256 // LEVELS)
    # scikit-image annotates neither of its two functions: hence the ignores.
    matrices = graycomatrix(steps, DISTANCES, ANGLES, LEVELS, symmetric=True, normed=True)  # type: ignore[no-untyped-call]
    parts = []
    for name in PROPERTIES:
        values = graycoprops(matrices, name)  # type: ignore[no-untyped-call]  # [distances, angles]
        parts.append(np.stack([values.mean(axis=1), np.ptp(values, axis=1)], axis=1))
    return np.concatenate(parts).ravel()  # [properties · distances, 2] -> [36]
