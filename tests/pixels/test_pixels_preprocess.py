"""Preprocessing: order, sizes and borders."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cytolens.pixels import PixelsConfig, preprocess
from cytolens.pixels.config import Border, Fit
from cytolens.pixels.resize import rim_colour, stretch


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("fit", "border"),
    [
        ("stretch", "reflect"),
        ("letterbox", "reflect"),
        ("letterbox", "replicate"),
        ("letterbox", "black"),
        ("letterbox", "white"),
        ("letterbox", "median"),
    ],
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (31, 17), (224, 224)])
@pytest.mark.parametrize("size", [(24, 24), (20, 33), (1, 7)])
def test_any_shape_gives_the_size(
    fit: Fit, border: Border, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    result = preprocess(noise(*shape), PixelsConfig(fit=fit, border=border), size)
    assert result.shape == (*size, 3) and result.dtype == np.uint8


def test_shrinking_averages_areas() -> None:
    image = noise(12, 20)
    means = image.reshape(3, 4, 5, 4, 3).mean(axis=(1, 3))  # [3, 5, 3]: blocks of 4 by 4
    assert np.abs(stretch(image, 3, 5) - means).max() <= 0.51


def test_one_axis_shrinks_while_the_other_grows() -> None:
    image = noise(12, 5)
    rows = image.reshape(3, 4, 5, 3).mean(axis=1)  # [3, 5, 3]
    wide = cv2.resize(rows.round().astype(np.uint8), (10, 3), interpolation=cv2.INTER_LINEAR)
    assert np.abs(stretch(image, 3, 10).astype(int) - wide).max() <= 1


def test_the_right_size_comes_back_as_it_is() -> None:
    image = noise(9, 7)
    assert preprocess(image, PixelsConfig(), (9, 7)) is image
    assert np.array_equal(preprocess(image, PixelsConfig(fit="letterbox"), (9, 7)), image)


@pytest.mark.parametrize(
    ("border", "column"),
    [("black", [0, 0, 0]), ("white", [255, 255, 255]), ("median", [70, 80, 90])],
)
def test_constant_borders(border: Border, column: list[int]) -> None:
    image = np.full((10, 4, 3), (70, 80, 90), np.uint8)
    image[3:7, 1:3] = 200  # a cell, away from the rim
    result = preprocess(image, PixelsConfig(fit="letterbox", border=border), (10, 10))
    assert np.array_equal(result[:, 3:7], image)
    assert (result[:, :3] == column).all() and (result[:, 7:] == column).all()


def test_mirrored_and_repeated_borders() -> None:
    image = noise(10, 4)
    reflect = preprocess(image, PixelsConfig(fit="letterbox", border="reflect"), (10, 10))
    assert np.array_equal(reflect[:, :3], image[:, 2::-1])
    replicate = preprocess(image, PixelsConfig(fit="letterbox", border="replicate"), (10, 10))
    assert np.array_equal(replicate[:, 9], image[:, 3])


def test_rim_colour_ignores_the_inside() -> None:
    image = np.full((9, 9, 3), 255, np.uint8)
    image[1:-1, 1:-1] = 0
    assert rim_colour(image) == (255, 255, 255)


def test_steps_run_in_their_order() -> None:
    image = noise(16, 16)
    blur: dict[str, bool | int | float | str | tuple[float, ...]] = {"name": "gaussian"}
    clahe: dict[str, bool | int | float | str | tuple[float, ...]] = {"name": "clahe"}
    one = preprocess(image, PixelsConfig(steps=(blur, clahe)), (16, 16))
    two = preprocess(image, PixelsConfig(steps=(clahe, blur)), (16, 16))
    assert not np.array_equal(one, two)
    first, second = PixelsConfig(steps=(blur, clahe)).built
    assert np.array_equal(one, second(first(image)))


def test_averages_are_those_that_opencv_makes_of_bytes() -> None:
    """Summed in float, rounded alike; areas that are whole, and large images, go as bytes."""
    random = np.random.default_rng(7)
    sizes = [tuple(random.integers((8, 8, 4, 4), (90, 90, 40, 40))) for _ in range(150)]
    sizes += [(256, 256, 224, 224), (448, 448, 224, 224), (60, 90, 20, 30), (227, 301, 224, 224)]
    for number, (high, wide, height, width) in enumerate(sizes):
        height, width = min(int(height), int(high)), min(int(width), int(wide))
        image = random.integers(0, 256, (high, wide, 3), dtype=np.uint8)
        if number % 2:
            image &= 0xC0  # few values: halves to round are frequent
        expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(stretch(image, height, width), expected)
