"""Views: the seeded ones of training, and the eight fixed ones of test time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.core.seeding import rng
from cytolens.pixels.augment import augment
from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.image import Image

FixedView = Callable[[Image], Image]


def view(image: Image, config: AugmentConfig, seed: int, image_id: str, v: int) -> Image:
    """Return view `v` of an image: 0 is the image itself, v ≥ 1 is drawn from `seed`, id and v.

    uint8 [H, W, 3] → uint8 of the same shape. The same arguments give the same pixels, in any
    order and on any process.
    """
    assert v >= 0, f"view {v}"
    if v == 0 or config.identity:
        return image
    return augment(image, config, rng(seed, "view", image_id, v))


def identity(image: Image) -> Image:
    return np.ascontiguousarray(image)


def hflip(image: Image) -> Image:
    """Exchange left and right."""
    return np.ascontiguousarray(image[:, ::-1])


def vflip(image: Image) -> Image:
    """Exchange top and bottom."""
    return np.ascontiguousarray(image[::-1])


def rot180(image: Image) -> Image:
    return np.ascontiguousarray(image[::-1, ::-1])


def rot90(image: Image) -> Image:
    """Turn counter-clockwise by a quarter."""
    return np.ascontiguousarray(np.rot90(_square(image), 1))


def rot270(image: Image) -> Image:
    """Turn clockwise by a quarter."""
    return np.ascontiguousarray(np.rot90(_square(image), 3))


def transpose(image: Image) -> Image:
    """Mirror at the diagonal from top left to bottom right."""
    return np.ascontiguousarray(_square(image).swapaxes(0, 1))


def transverse(image: Image) -> Image:
    """Mirror at the other diagonal."""
    return np.ascontiguousarray(_square(image)[::-1, ::-1].swapaxes(0, 1))


def _square(image: Image) -> Image:
    height, width = image.shape[:2]
    if height != width:
        raise InputError(
            f"Quarter turns need square images, got {width} x {height} pixels.",
            expected="identity, hflip, vflip or rot180 for images that are not square",
        )
    return image


TEST_VIEWS: Registry[FixedView] = Registry("test-time view")
for _view in (identity, hflip, vflip, rot180, rot90, rot270, transpose, transverse):
    TEST_VIEWS.register(_view.__name__, _view)
