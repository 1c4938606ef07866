"""Texture by local binary patterns (Ojala, Pietikäinen and Mäenpää 2002)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.sample import Sample

CIRCLES = ((8, 1), (16, 2), (24, 3))  # points on a circle, and its radius in pixels
NAMES = tuple(f"lbp_{points}_{code}" for points, _ in CIRCLES for code in range(points + 2))


def lbp(sample: Sample) -> NDArray[np.float64]:
    """Return the shares of the uniform, rotation-invariant patterns of three circles, [54].

    A pattern of P points is uniform if going round it changes at most twice between darker and
    brighter; its code is the number of brighter points (0 … P), and P + 1 for all others.
    """
    from skimage.feature import local_binary_pattern

    shares = []
    for points, radius in CIRCLES:
        # scikit-image does not annotate it: hence the ignore.
        codes = local_binary_pattern(sample.grey, points, radius, "uniform")  # type: ignore[no-untyped-call]
        counts = np.bincount(codes.astype(np.int64).ravel(), minlength=points + 2)
        shares.append(counts / codes.size)
    return np.concatenate(shares)
