"""Every step on every awkward image, and each filter on a known one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cytolens.pixels import STEPS
from cytolens.pixels.steps.denoise import Gaussian, Median, NonLocalMeans
from cytolens.pixels.steps.enhance import Clahe, Sharpen
from cytolens.pixels.steps.hsv import HsvSegment

Image = npt.NDArray[np.uint8]


def noise(*shape: int) -> Image:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 3), (31, 17)])
@pytest.mark.parametrize("level", [0, 128, 255, None])
def test_contract(name: str, shape: tuple[int, int], level: int | None) -> None:
    image = noise(*shape) if level is None else np.full((*shape, 3), level, np.uint8)
    before = image.copy()
    step = STEPS.get(name)()
    one, two = step(image), step(image)
    assert one.shape == image.shape and one.dtype == np.uint8
    assert np.array_equal(one, two) and np.array_equal(image, before)


@pytest.mark.parametrize("name", [n for n in STEPS if n != "hsv_segment"])
def test_a_blank_image_stays(name: str) -> None:
    blank = np.full((20, 20, 3), 255, np.uint8)
    assert np.abs(STEPS.get(name)()(blank).astype(int) - blank).max() <= 1


def test_median_is_scipys() -> None:
    image = noise(15, 12)
    reference = ndimage.median_filter(image, (5, 5, 1), mode="nearest")
    assert np.array_equal(Median(5)(image), reference)


def test_gaussian_is_scipys() -> None:
    image = noise(30, 22)
    reference = ndimage.gaussian_filter(image.astype(float), (1.5, 1.5, 0), mode="reflect")
    assert np.abs(Gaussian(1.5)(image) - reference).max() <= 2


def test_non_local_means_smooths_noise_and_keeps_the_edge() -> None:
    clean = np.full((40, 40, 3), 80, np.uint8)
    clean[:, 20:] = 180
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 8, clean.shape), 0, 255)
    result = NonLocalMeans(10, 10)(noisy.astype(np.uint8)).astype(float)
    assert result[:, 2:18].std() < 3
    assert result[:, 22:].mean() - result[:, :18].mean() > 95


def test_sharpen_steepens_an_edge() -> None:
    image = np.full((9, 20, 3), 100, np.uint8)
    image[:, 10:] = 150
    result = Sharpen(1.0, 1.0)(image)
    assert result[4, 9, 0] < 100 and result[4, 10, 0] > 150
    assert (result[:, :4] == 100).all()


def test_clahe_spreads_lightness_and_keeps_hue() -> None:
    rng = np.random.default_rng(0)
    lab = np.full((64, 64, 3), (0, 150, 110), np.uint8)
    lab[..., 0] = rng.integers(120, 140, (64, 64))
    image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    result = cv2.cvtColor(Clahe(4.0, 4)(np.asarray(image, np.uint8)), cv2.COLOR_RGB2LAB)
    assert result[..., 0].std() > 1.5 * lab[..., 0].std()
    assert np.abs(result[..., 1:].astype(int) - lab[..., 1:]).mean() < 3


def smear() -> tuple[Image, npt.NDArray[np.bool_]]:
    """A white cell with a pale vacuole, a red cell, a speck and a scale bar, on plasma."""
    y, x = np.mgrid[:100, :100]
    image = np.full((100, 100, 3), (245, 245, 235), np.uint8)
    cell = (y - 40) ** 2 + (x - 40) ** 2 <= 15**2
    image[cell] = (130, 80, 200)
    image[(y - 42) ** 2 + (x - 38) ** 2 <= 2**2] = (240, 240, 240)
    image[(y - 75) ** 2 + (x - 70) ** 2 <= 10**2] = (180, 190, 205)
    image[10:12, 80:82] = (130, 80, 200)
    image[95:97, 70:95] = 0
    image[90:93, 70:95] = (220, 30, 40)
    return image, cell


def test_hsv_keeps_the_white_cell_only() -> None:
    image, cell = smear()
    mask = HsvSegment().mask(image).astype(bool)
    assert (mask & cell).sum() / (mask | cell).sum() > 0.97
    assert not mask[85:].any() and not mask[:20].any()
    result = HsvSegment()(image)
    assert np.array_equal(result[mask], image[mask]) and not result[~mask].any()


def test_hsv_keeps_a_pale_pink_cell() -> None:
    image, cell = smear()
    image[cell] = (240, 200, 240)
    assert (HsvSegment().mask(image).astype(bool) & cell).sum() > 0.95 * cell.sum()
