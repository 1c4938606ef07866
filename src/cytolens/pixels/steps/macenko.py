"""Stain normalisation of H&E: Macenko et al. 2009, "A method for normalizing histology slides"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cytolens.pixels.check import between, require
from cytolens.pixels.image import Image

Floats = npt.NDArray[np.float64]

ENOUGH = 10  # stained pixels below which there is nothing to estimate
APART = np.deg2rad(1.0)  # two stains nearer than this are one


@dataclass(frozen=True)
class Stains:
    """What an image says about its stains: unit vectors in optical density and their strength."""

    vectors: Floats  # [3, 2], columns haematoxylin and eosin, rows R, G, B
    concentrations: Floats  # [2, H·W], of every pixel in image order
    maxima: Floats  # [2], robust maximum (99th percentile) of each concentration


@dataclass(frozen=True)
class Macenko:
    """Estimate the two stain vectors of an image and repaint it with a reference's.

    The plane of the two stains comes from the singular vectors of the optical density (paper,
    section 2.2, uncentred); the stains are its `alpha`-th and (100-alpha)-th percentile angles.
    Default targets and constants are those of the authors' reference implementation.
    An image with no stain to estimate (blank, one stain only, too dark) is returned unchanged:
    ask `estimate` if that must be known. Not for blood smears, whose stains are neither of the two.
    """

    light: float = 240.0  # transmitted light intensity, grey levels
    beta: float = 0.15  # optical density (natural logarithm) below which a pixel is background
    alpha: float = 1.0  # percentile taken as the extreme angle
    haematoxylin: tuple[float, float, float] = (0.5626, 0.7201, 0.4062)  # target: R, G, B density
    eosin: tuple[float, float, float] = (0.2159, 0.8012, 0.5581)  # target: R, G, B density
    maxima: tuple[float, float] = (1.9705, 1.0308)  # target of the robust maxima

    def __post_init__(self) -> None:
        rules = [
            between("light", self.light, 1, 255),
            between("beta", self.beta, 0.01, 5),
            between("alpha", self.alpha, 0, 49),
        ]
        rules += [between("a part of haematoxylin", v, 0, 1) for v in self.haematoxylin]
        rules += [between("a part of eosin", v, 0, 1) for v in self.eosin]
        rules += [between("a maximum", v, 0.01, 20) for v in self.maxima]
        require("macenko", rules)

    def __call__(self, image: Image) -> Image:
        """Normalise uint8 [H, W, 3] → uint8 [H, W, 3]."""
        stains = self.estimate(image)
        if stains is None:
            return image
        target = np.array([self.haematoxylin, self.eosin]).T  # [3, 2]
        scale = np.asarray(self.maxima) / stains.maxima
        density = (target * scale) @ stains.concentrations  # [3, H·W]
        rgb = self.light * np.exp(-density) - 1
        return np.ascontiguousarray(  # [3, H·W] → [H, W, 3]
            np.rint(rgb.clip(0, 255)).astype(np.uint8).T.reshape(image.shape)
        )

    def estimate(self, image: Image) -> Stains | None:
        """Return the stains of uint8 [H, W, 3], or None where there are not two to tell apart."""
        levels = -np.log((np.arange(256) + 1) / self.light)  # of each grey level
        density = levels[image.reshape(-1, 3)]  # [H·W, 3]
        stained = density[(density >= self.beta).all(axis=1)]
        if len(stained) < ENOUGH:
            return None
        _, axes = np.linalg.eigh(stained.T @ stained)  # ascending
        first = axes[:, 2] * np.sign(axes[:, 2].sum())  # towards the mean: no angle wraps around
        plane = np.stack([first, axes[:, 1]], axis=1)  # [3, 2]
        across = stained @ plane
        angles = np.arctan2(across[:, 1], across[:, 0])
        low, high = np.percentile(angles, [self.alpha, 100 - self.alpha])
        if high - low < APART:
            return None
        ends = plane @ np.array([[np.cos(low), np.cos(high)], [np.sin(low), np.sin(high)]])
        vectors = ends if ends[0, 0] > ends[0, 1] else ends[:, ::-1]  # haematoxylin: more red
        concentrations = np.linalg.pinv(vectors) @ density.T  # [2, H·W]
        maxima = np.percentile(concentrations, 99, axis=1)
        if maxima.min() <= 0:
            return None
        return Stains(vectors, concentrations, maxima)
