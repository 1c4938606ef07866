"""Augmentation as a whole, and its colour part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cytolens.pixels import AugmentConfig, augment
from cytolens.pixels.colour import HED, LUMA, add_noise, draw_colour, jitter_stain, recolour

EVERYTHING = AugmentConfig(
    rotation=45,
    width_shift=0.2,
    height_shift=0.2,
    shear=0.2,
    zoom=0.2,
    horizontal_flip=True,
    vertical_flip=True,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.05,
    stain=0.05,
    noise=0.02,
)


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (31, 17), (64, 64)])
def test_shape_dtype_and_determinism(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    before = image.copy()
    one = augment(image, EVERYTHING, np.random.default_rng(4))
    two = augment(image, EVERYTHING, np.random.default_rng(4))
    assert one.shape == image.shape and one.dtype == np.uint8 and one.flags.c_contiguous
    assert np.array_equal(one, two) and np.array_equal(image, before)


def test_another_generator_gives_another_view() -> None:
    views = [augment(noise(20, 20), EVERYTHING, np.random.default_rng(s)) for s in range(5)]
    assert len({v.tobytes() for v in views}) == 5


def test_identity_gives_the_image_itself() -> None:
    image = noise(5, 5)
    assert AugmentConfig().identity
    assert augment(image, AugmentConfig(), np.random.default_rng(0)) is image


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_something_else_than_an_image_is_our_mistake(wrong: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(AssertionError, match="not a uint8 image"):
        augment(wrong, AugmentConfig(), np.random.default_rng(0))


def test_recolour_is_its_matrix() -> None:
    config = AugmentConfig(brightness=0.1, contrast=0.2, saturation=0.3, hue=0.1)
    image = noise(12, 15)
    grey = float((image @ LUMA).mean())
    matrix = draw_colour(config, np.random.default_rng(2), grey)
    naive = (image @ matrix[:, :3].T + matrix[:, 3]).clip(0, 255)
    ours = recolour(image, config, np.random.default_rng(2))
    assert np.abs(ours - naive).max() <= 1


def test_contrast_keeps_the_mean_and_brightness_scales() -> None:
    rng = np.random.default_rng(0)
    contrast = draw_colour(AugmentConfig(contrast=0.5), rng, 100.0)
    assert contrast @ [100, 100, 100, 1] == pytest.approx([100, 100, 100])
    brightness = draw_colour(AugmentConfig(brightness=0.5), rng, 100.0)
    factor = brightness[0, 0]
    assert 0.5 <= factor <= 1.5 and brightness[:, :3] == pytest.approx(factor * np.eye(3))


def test_hue_and_saturation_keep_grey_and_brightness() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        matrix = draw_colour(AugmentConfig(hue=0.5, saturation=0.5), rng, 0.0)
        assert matrix[:, :3] @ [90, 90, 90] == pytest.approx([90, 90, 90], abs=0.1)
        assert LUMA @ matrix[:, :3] == pytest.approx(LUMA, abs=1e-3)


def test_stain_jitter_against_a_naive_loop() -> None:
    image, sigma = noise(6, 7), 0.2
    rng = np.random.default_rng(8)
    alpha, beta = 1 + sigma * rng.uniform(-1, 1, 3), sigma * rng.uniform(-1, 1, 3)
    ours = jitter_stain(image, sigma, np.random.default_rng(8))
    for y in range(6):
        for x in range(7):
            density = -np.log((image[y, x] + 1.0) / 256)
            stains = density @ np.linalg.inv(HED)
            changed = 256 * np.exp(-((stains * alpha + beta) @ HED)) - 1
            assert np.abs(ours[y, x] - changed.clip(0, 255)).max() <= 0.51


def test_noise_has_the_stated_spread() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    noisy = add_noise(grey, 0.05, np.random.default_rng(0)).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.3)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.02)
