"""Views: seeded ones are repeatable, fixed ones form the dihedral group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.pixels import TEST_VIEWS, AugmentConfig, augment, view

CONFIG = AugmentConfig(rotation=30, brightness=0.2, noise=0.02)
QUARTERS = ("rot90", "rot270", "transpose", "transverse")


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_view_nought_is_the_image() -> None:
    image = noise(8, 8)
    assert view(image, CONFIG, 1, "a", 0) is image
    assert view(image, AugmentConfig(), 1, "a", 5) is image


def test_a_view_is_drawn_from_seed_id_and_number() -> None:
    image = noise(8, 8)
    third = view(image, CONFIG, 1, "a", 3)
    assert np.array_equal(third, view(image, CONFIG, 1, "a", 3))
    assert np.array_equal(third, augment(image, CONFIG, rng(1, "view", "a", 3)))
    others = [view(image, CONFIG, *key) for key in [(2, "a", 3), (1, "b", 3), (1, "a", 4)]]
    assert all(not np.array_equal(third, other) for other in others)


@pytest.mark.parametrize("name", TEST_VIEWS)
def test_fixed_views_keep_the_pixels(name: str) -> None:
    image = noise(7, 7)
    result = TEST_VIEWS.get(name)(image)
    assert result.flags.c_contiguous and result.dtype == np.uint8
    assert np.array_equal(np.sort(result.reshape(-1, 3), 0), np.sort(image.reshape(-1, 3), 0))


def test_fixed_views_are_the_eight_of_the_square() -> None:
    image = noise(6, 6)
    group = {np.rot90(i, k).tobytes() for i in (image, image[:, ::-1]) for k in range(4)}
    assert {TEST_VIEWS.get(name)(image).tobytes() for name in TEST_VIEWS} == group
    get = TEST_VIEWS.get
    assert np.array_equal(get("rot270")(get("rot90")(image)), image)
    assert np.array_equal(get("rot180")(image), get("hflip")(get("vflip")(image)))
    assert np.array_equal(get("transverse")(image), get("transpose")(get("rot180")(image)))


@pytest.mark.parametrize("name", TEST_VIEWS)
def test_images_that_are_not_square(name: str) -> None:
    image = noise(4, 6)
    if name not in QUARTERS:
        assert TEST_VIEWS.get(name)(image).shape == image.shape
        return
    with pytest.raises(InputError) as caught:
        TEST_VIEWS.get(name)(image)
    assert str(caught.value) == (
        "Quarter turns need square images, got 6 x 4 pixels.\n"
        "Expected: identity, hflip, vflip or rot180 for images that are not square"
    )
