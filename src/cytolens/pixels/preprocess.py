"""From an image as it was read to the size of the network's input."""

from __future__ import annotations

from cytolens.pixels.config import PixelsConfig
from cytolens.pixels.image import Image, assert_image
from cytolens.pixels.resize import letterbox, stretch


def preprocess(image: Image, config: PixelsConfig, size: tuple[int, int]) -> Image:
    """Apply the steps in order, then fit to `size` = (height, width) in pixels.

    uint8 [H, W, 3] → uint8 [height, width, 3]. Nothing is random. `size` is what
    `config.resolve` returns; an image that already has it and no steps comes back as it is.
    """
    assert_image(image)
    for step in config.built:
        image = step(image)
    height, width = size
    if config.fit == "stretch":
        return stretch(image, height, width)
    return letterbox(image, height, width, config.border)
