"""From optical density to a camera image: light, lens and sensor of one patient's slide."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.data.phantom.shapes import Field

STAINS = 4  # the most stains a kind of tissue uses

_LAYOUT = {
    "gain": STAINS,  # how strongly each stain took
    "tint": STAINS * 3,  # the shade of each stain
    "white": 3,  # colour of the light
    "focus": 1,
    "lamp": 3,  # slope in x and y, darkening of the corners
    "noise": 1,
    "zoom": 1,  # size of all cells
    "grain": 1,  # roughness of chromatin and cytoplasm
    "clutter": 1,  # what else lies about
}
LENGTH = sum(_LAYOUT.values())


@dataclass(frozen=True)
class Look:
    """How a slide looks, apart from what is on it: `LENGTH` standard deviations from the usual."""

    z: NDArray[np.float64]

    def part(self, name: str) -> NDArray[np.float64]:
        start = 0
        for key, length in _LAYOUT.items():
            if key == name:
                return self.z[start : start + length]
            start += length
        raise AssertionError(f"no part {name!r} in a look")

    def one(self, name: str) -> float:
        return float(self.part(name)[0])

    def stains(self, vectors: Field) -> Field:
        """Return this slide's stain vectors [S, 3] from the usual ones."""
        count = len(vectors)
        gain = np.exp(0.22 * self.part("gain")[:count])
        tint = np.exp(0.20 * self.part("tint")[: count * 3].reshape(count, 3))
        return np.asarray(vectors * tint * gain[:, None], dtype=np.float32)


def expose(
    od: Field,
    look: Look,
    white: tuple[float, float, float],
    blur: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the photograph uint8 [H, W, 3] of the optical density `od` [H, W, 3].

    Beer-Lambert: I = I0·exp(-OD). `white` is the usual colour of the empty slide (0…1),
    `blur` the usual defocus (standard deviation in px). The light then falls off over the
    field, and shot and read noise come last.
    """
    height, width = od.shape[:2]
    sigma = float(np.clip(blur * np.exp(0.45 * look.one("focus")), 0.3, 6 * blur))
    light = cv2.GaussianBlur(cv2.exp(-od), (0, 0), sigma)
    tone = np.clip(np.asarray(white) * np.exp(0.045 * look.part("white")), 0.4, 1.0)
    light = light * (_lamp(height, width, look) * 255.0)[..., None] * tone.astype(np.float32)
    deviation = float(np.clip(2.0 * np.exp(0.4 * look.one("noise")), 0.6, 7.0))
    grain = rng.standard_normal((height, width, 3), dtype=np.float32)
    light = light + grain * deviation * np.sqrt(np.maximum(light, 12.0) / 255.0)
    return np.asarray(np.clip(np.round(light), 0, 255), dtype=np.uint8)


def _lamp(height: int, width: int, look: Look) -> Field:
    """Return the illumination over the field, about 1, float32 [height, width]."""
    slope_x, slope_y, corners = look.part("lamp")
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    fall = 0.03 * np.exp(0.6 * corners)
    lamp = 1.0 + 0.045 * (slope_x * x + slope_y * y) - fall * (x * x + y * y)
    return np.asarray(np.clip(lamp, 0.5, 1.15), dtype=np.float32)
