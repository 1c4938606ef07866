"""Nuclei: chromatin with its grain, a membrane, nucleoli."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from cytolens.data.phantom.canvas import NUCLEUS, Canvas, Patch
from cytolens.data.phantom.shapes import Field, Points, blob, smooth_noise


@dataclass(frozen=True)
class Chromatin:
    """How a nucleus is stained: optical `density`, `contrast` (0…1) and size (px) of clumps."""

    colour: Field  # [3]
    density: float
    contrast: float
    clump: float
    membrane: float = 0.35  # how much darker the rim is, relative
    nucleoli: float = 0.0  # expected number


def paint_nucleus(
    canvas: Canvas,
    outline: Points,
    look: Chromatin,
    rng: np.random.Generator,
    *,
    labelled: bool = False,
) -> Patch | None:
    """Paint a nucleus with the given `outline` [P, 2] (px); None if it lies out of view."""
    patch = canvas.patch(outline)
    if patch is None:
        return None
    height, width = patch.shape
    uneven = smooth_noise(rng, height, width, max(0.3 * height, 2.0)) * np.float32(0.10)
    clumps = smooth_noise(rng, height, width, look.clump)
    fine = smooth_noise(rng, height, width, max(look.clump * 0.45, 1.0))
    grain = np.tanh(1.3 * clumps + 0.5 * fine) * look.contrast
    amount = 1.0 + uneven + grain + look.membrane * patch.edge(max(1.0, 0.06 * max(height, width)))
    canvas.add(patch, np.maximum(amount, 0.15) * np.float32(look.density), look.colour)
    _paint_nucleoli(canvas, outline, look, rng)
    if labelled:
        canvas.label(patch, NUCLEUS)
    return patch


def _paint_nucleoli(
    canvas: Canvas, outline: Points, look: Chromatin, rng: np.random.Generator
) -> None:
    centre, extent = outline.mean(0), float(np.sqrt(np.ptp(outline, 0).prod())) / 2
    for _ in range(min(int(rng.poisson(look.nucleoli)), 3)):
        place = centre + rng.uniform(-0.45, 0.45, 2) * extent
        spot = canvas.patch(blob(rng, extent * rng.uniform(0.12, 0.2), points=16) + place)
        if spot is not None:
            canvas.add(spot, 0.55 * look.density, look.colour)


def paint_lobed(
    canvas: Canvas, place: Points, radius: float, look: Chromatin, rng: np.random.Generator
) -> None:
    """Paint the nucleus of a neutrophil: two to four lobes in a bent row around `place` [2]."""
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
    at = place.astype(float)
    for _ in range(int(rng.integers(2, 5))):
        lobe = blob(rng, radius * rng.uniform(0.38, 0.55), elongation=1.3, points=18)
        paint_nucleus(canvas, lobe + at, look, rng)
        at = at + 0.75 * radius * np.array([np.cos(angle), np.sin(angle)])
        angle += bend


def soften(field: Field, sigma: float) -> Field:
    """Return `field` blurred by `sigma` px."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma), dtype=np.float32)
