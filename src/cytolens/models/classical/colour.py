"""Colour of the whole image: statistics in three colour spaces, and a plain histogram."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.sample import Sample

CHANNELS = ("red", "green", "blue", "saturation", "value", "lightness", "a", "b")
PERCENTILES = (5, 25, 50, 75, 95)
HUE = ("hue_cosine", "hue_sine", "hue_strength")
NAMES = (
    *(
        f"{channel}_{part}"
        for channel in CHANNELS
        for part in ("mean", "std", "skewness", *(f"p{p}" for p in PERCENTILES))
    ),
    *HUE,
)
BINS = 6
HISTOGRAM_NAMES = tuple(
    f"rgb_{r}{g}{b}" for r in range(BINS) for g in range(BINS) for b in range(BINS)
)


def colour(sample: Sample) -> NDArray[np.float64]:
    """Return mean, deviation, skewness and percentiles of each channel, and the hue, [67].

    RGB, HSV and L*a*b* in 0 … 255 as OpenCV scales them. Hue is an angle: instead of the eight
    numbers it has the cosine and sine of its mean direction and the length of the mean vector, all
    weighted by saturation (grey pixels have no hue).
    """
    hsv = np.asarray(cv2.cvtColor(sample.image, cv2.COLOR_RGB2HSV), np.uint8)
    lab = cv2.cvtColor(sample.image, cv2.COLOR_RGB2LAB)
    planes = np.concatenate([sample.image, hsv[..., 1:], lab], axis=2)  # [H, W, 8]
    values = [_statistics(planes[..., i]) for i in range(len(CHANNELS))]
    return np.concatenate([*values, _hue(hsv[..., 0], hsv[..., 1])])


def _statistics(plane: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return mean, standard deviation, skewness and percentiles of uint8 values, [8].

    A percentile is the smallest value that at least so many per cent of the pixels do not exceed.
    """
    shares = np.bincount(plane.ravel(), minlength=256) / plane.size
    levels = np.arange(256.0)
    mean = shares @ levels
    deviation = np.sqrt(shares @ (levels - mean) ** 2)
    skewness = shares @ ((levels - mean) / deviation) ** 3 if deviation > 0 else 0.0
    marks = np.array(PERCENTILES) / 100 - 1e-9  # the sums of shares are rounded
    return np.array([mean, deviation, skewness, *np.searchsorted(shares.cumsum(), marks)])


def _hue(hue: NDArray[np.uint8], saturation: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean direction's cosine and sine, and the mean vector's length, [3]."""
    weight = np.bincount(hue.ravel(), saturation.ravel(), minlength=180)  # steps of 2 degrees
    total = weight.sum()
    if total == 0:
        return np.zeros(3)
    mean = (weight / total) @ np.exp(1j * np.deg2rad(2.0 * np.arange(len(weight))))
    strength = abs(mean)
    direction = mean / strength if strength > 1e-12 else 0j
    return np.array([direction.real, direction.imag, strength])


def colour_histogram(sample: Sample) -> NDArray[np.float64]:
    """Return the share of pixels in each of 6 x 6 x 6 cells of RGB, [216].

    What it can tell is how an image is stained and lit, not what a cell looks like.
    """
    steps = sample.image.astype(np.int64) * BINS // 256  # [H, W, 3], 0 … 5
    cells = (steps[..., 0] * BINS + steps[..., 1]) * BINS + steps[..., 2]  # [H, W]
    return np.bincount(cells.ravel(), minlength=BINS**3) / cells.size
