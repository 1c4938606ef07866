"""The photometry of augmentation: one colour matrix, stain jitter, noise."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.image import Image

Matrix = npt.NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
YIQ = np.array([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
# Optical density of haematoxylin, eosin and DAB in R, G, B: Ruifrok and Johnston 2001.
HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])

_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)  # of each grey level


def draw_colour(config: AugmentConfig, rng: np.random.Generator, grey: float) -> Matrix:
    """Return the map R, G, B, 1 → R, G, B, float64 [3, 4], in grey levels.

    `grey` is the mean grey level of the image, which contrast leaves in place. In this order:
    hue (a turn of the I-Q plane, so that brightness stays), saturation, contrast, brightness.
    """
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4)
    angle = 2 * np.pi * config.hue * hue
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = np.linalg.inv(YIQ) @ turn @ YIQ
    strength = 1 + config.saturation * saturation
    matrix = (strength * np.eye(3) + (1 - strength) * LUMA) @ matrix
    spread = 1 + config.contrast * contrast
    level = 1 + config.brightness * brightness
    offset = np.full((3, 1), (1 - spread) * grey)
    return np.asarray(level * np.hstack([spread * matrix, offset]), np.float64)


def recolour(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Change brightness, contrast, saturation and hue of uint8 [H, W, 3]; values saturate."""
    grey = float(np.dot(cv2.mean(image)[:3], LUMA))
    return np.asarray(cv2.transform(image, draw_colour(config, rng, grey)), np.uint8)


def jitter_stain(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Scale and shift the haematoxylin, eosin and DAB of uint8 [H, W, 3].

    Each stain s becomes a·s + b, a from 1-sigma … 1+sigma and b from -sigma … sigma, in natural
    optical density: Tellez et al. 2018, "Whole-slide mitosis detection in H&E breast histology".
    """
    alpha, beta = 1 + sigma * rng.uniform(-1, 1, 3), sigma * rng.uniform(-1, 1, 3)
    mixing = np.linalg.inv(HED) @ np.diag(alpha) @ HED  # row vectors: density → density
    matrix = np.hstack([mixing.T, (beta @ HED)[:, None]])
    density = cv2.transform(cv2.LUT(image, _DENSITY), matrix.astype(np.float32))  # [H, W, 3]
    light = cv2.exp(-density)
    return np.asarray(cv2.addWeighted(light, 256, light, 0, -1, dtype=cv2.CV_8U), np.uint8)


def add_noise(image: Image, fraction: float, rng: np.random.Generator) -> Image:
    """Add Gaussian noise of standard deviation `fraction`·255 to uint8 [H, W, 3]."""
    noise = rng.standard_normal(image.shape, np.float32)
    noise *= np.float32(255 * fraction)
    return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)
