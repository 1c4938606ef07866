"""Outlines of cells and the smooth noise that fills them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Points = NDArray[np.float64]

_HARMONICS = np.arange(2, 11)


def blob(
    rng: np.random.Generator,
    radius: float,
    *,
    irregularity: float = 0.1,
    elongation: float = 1.0,
    roughness: float = 1.6,
    points: int = 56,
) -> Points:
    """Return a closed outline around (0, 0): an ellipse with random harmonics 2…10.

    `radius` is that of the circle of equal area in px, `elongation` the ratio of the axes,
    `irregularity` the relative height of the bumps, and harmonic k is weighted k^-roughness.
    The result is float64 [points, 2], x before y, turned by a random angle.
    """
    theta = np.linspace(0.0, 2 * np.pi, points, endpoint=False)
    height = irregularity * rng.standard_normal(_HARMONICS.size) * 2.0 / _HARMONICS**roughness
    phase = rng.uniform(0, 2 * np.pi, _HARMONICS.size)
    bumps = height @ np.cos(_HARMONICS[:, None] * theta[None, :] + phase[:, None])
    r = radius * np.maximum(1.0 + bumps, 0.35)
    stretch = np.sqrt(elongation)
    return turn(np.stack([r * np.cos(theta) * stretch, r * np.sin(theta) / stretch], 1), rng)


def squame(
    rng: np.random.Generator, radius: float, *, corners: int = 6, elongation: float = 1.0
) -> Points:
    """Return the many-cornered outline of a flat squamous cell around (0, 0), float64 [P, 2]."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    angles = angles + rng.uniform(-0.35, 0.35, corners) * 2 * np.pi / corners
    r = radius * 1.06 * (1 + 0.10 * rng.standard_normal(corners))
    knots = np.stack([r * np.cos(angles), r * np.sin(angles)], 1)
    step = np.linspace(0, 1, 16, endpoint=False)[None, :, None]
    following = np.roll(knots, -1, 0)
    edge = knots[:, None] * (1 - step) + following[:, None] * step  # [corners, 16, 2]
    bulge = 1 + rng.uniform(-0.02, 0.16, corners)[:, None, None] * 4 * step * (1 - step)
    outline = (edge * bulge).reshape(-1, 2)
    wave = np.exp(-0.5 * (np.fft.fftfreq(len(outline), 1.0) * len(outline) / 9.0) ** 2)
    smooth = np.fft.ifft(np.fft.fft(outline, axis=0) * wave[:, None], axis=0).real
    smooth += 0.006 * radius * rng.standard_normal(smooth.shape)
    stretch = np.sqrt(elongation)
    return turn(smooth * (stretch, 1 / stretch), rng)


def turn(points: Points, rng: np.random.Generator) -> Points:
    """Return `points` rotated about (0, 0) by a random angle."""
    return rotate(points, rng.uniform(0, 2 * np.pi))


def rotate(points: Points, angle: float) -> Points:
    """Return `points` [P, 2] rotated about (0, 0) by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(points @ np.array([[c, s], [-s, c]]), dtype=np.float64)


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Field:
    """Return noise [height, width], mean about 0, deviation about 1, smooth over `cell` px."""
    rows, columns = int(height / cell) + 3, int(width / cell) + 3
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    if cell <= 1:
        return coarse[:height, :width]
    full = (max(width, round(columns * cell)), max(height, round(rows * cell)))
    fine = cv2.resize(coarse, full, interpolation=cv2.INTER_CUBIC)
    top, left = (fine.shape[0] - height) // 2, (fine.shape[1] - width) // 2
    return np.asarray(fine[top : top + height, left : left + width] * 1.25, dtype=np.float32)
