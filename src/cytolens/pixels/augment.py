"""Random views of an image: one warp, then colour, stain and noise."""

from __future__ import annotations

import numpy as np

from cytolens.pixels.affine import apply_affine, draw_affine
from cytolens.pixels.colour import add_noise, jitter_stain, recolour
from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.image import Image, assert_image


def augment(image: Image, config: AugmentConfig, rng: np.random.Generator) -> Image:
    """Return a random view, uint8 [H, W, 3] → uint8 of the same shape; all chance is `rng`'s.

    The geometry is one bilinear warp, so an image is interpolated once however many changes
    are asked for. Settings that change nothing return the image itself.

    Raises:
        InputError: quarter turns of an image that is not square.
    """
    assert_image(image)
    if config.moves:
        image = apply_affine(image, draw_affine(config, rng, image.shape[:2]), config)
    if config.recolours:
        image = recolour(image, config, rng)
    if config.stain > 0:
        image = jitter_stain(image, config.stain, rng)
    if config.noise > 0:
        image = add_noise(image, config.noise, rng)
    return image
