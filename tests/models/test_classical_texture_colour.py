"""Texture and colour against hand-made arrays, naive loops and other paths of the libraries."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import skew

from cytolens.core.seeding import rng
from cytolens.models.classical import colour, glcm, lbp
from cytolens.models.classical.features import FEATURE_SETS, FEATURES, describe, groups_of
from cytolens.models.classical.sample import Sample

Image = NDArray[np.uint8]


def _grey(values: NDArray[np.integer]) -> Image:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def _random(height: int = 20, width: int = 24) -> Image:
    return rng(0, "image").integers(0, 256, (height, width, 3)).astype(np.uint8)


def _named(names: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    assert len(names) == len(set(names)) == len(values)
    return dict(zip(names, values.tolist(), strict=True))


# ------------------------------------------------------------------ co-occurrence


def test_glcm_of_a_chessboard() -> None:
    board = np.indices((16, 16)).sum(axis=0) % 2 * 80  # levels 0 and 10 of 32
    found = _named(glcm.NAMES, glcm.glcm(Sample(_grey(board))))
    # At distance 1, two of four angles see always the other square, two (diagonal) the same.
    assert found["glcm_contrast_1px_mean"] == pytest.approx(50)
    assert found["glcm_contrast_1px_range"] == pytest.approx(100)
    assert found["glcm_dissimilarity_1px_mean"] == pytest.approx(5)
    assert found["glcm_correlation_1px_mean"] == pytest.approx(0, abs=0.01)
    assert found["glcm_correlation_1px_range"] == pytest.approx(2)
    assert found["glcm_homogeneity_1px_mean"] == pytest.approx((1 + 1 / 101) / 2)
    assert found["glcm_contrast_2px_mean"] == 0  # two steps meet the same square at every angle


def test_glcm_of_a_flat_image() -> None:
    found = _named(glcm.NAMES, glcm.glcm(Sample(_grey(np.full((12, 12), 99)))))
    assert found["glcm_ASM_4px_mean"] == found["glcm_energy_1px_mean"] == 1
    assert found["glcm_contrast_1px_mean"] == found["glcm_ASM_1px_range"] == 0


def test_glcm_is_haralicks_formula() -> None:
    """Against a loop over all pairs of pixels two steps apart, at each of the four angles."""
    sample = Sample(_random())
    steps = sample.grey.astype(int) // 8
    height, width = steps.shape
    by_angle = []
    for down, right in ((0, 2), (1, 1), (2, 0), (1, -1)):  # slanted by the nearest pixel
        pairs = np.zeros((32, 32))
        for row in range(height - down):
            for column in range(max(0, -right), min(width, width - right)):
                a, b = steps[row, column], steps[row + down, column + right]
                pairs[a, b] += 1
                pairs[b, a] += 1
        p = pairs / pairs.sum()
        i, j = np.indices(p.shape)
        mean, var = (p * i).sum(), (p * (i - (p * i).sum()) ** 2).sum()
        by_angle.append(
            {
                "contrast": (p * (i - j) ** 2).sum(),
                "dissimilarity": (p * abs(i - j)).sum(),
                "homogeneity": (p / (1 + (i - j) ** 2)).sum(),
                "energy": math.sqrt((p**2).sum()),
                "correlation": (p * (i - mean) * (j - mean)).sum() / var,
                "ASM": (p**2).sum(),
            }
        )
    found = _named(glcm.NAMES, glcm.glcm(sample))
    for name in glcm.PROPERTIES:
        values = [one[name] for one in by_angle]
        assert found[f"glcm_{name}_2px_mean"] == pytest.approx(np.mean(values))
        assert found[f"glcm_{name}_2px_range"] == pytest.approx(np.ptp(values))
    turned = Sample(np.ascontiguousarray(np.rot90(sample.image)))
    np.testing.assert_allclose(glcm.glcm(turned), glcm.glcm(sample), atol=1e-12)


# ------------------------------------------------------------------ local binary patterns


def test_lbp_is_a_loop_over_pixels() -> None:
    """Eight neighbours on a circle of radius 1, bilinear; uniform, rotation-invariant.

    Beside the image all is black.
    """
    sample = Sample(_random(10, 9))
    grey = np.pad(sample.grey.astype(float), 2)
    counts = np.zeros(10)
    for row in range(2, 12):
        for column in range(2, 11):
            signs = []
            for point in range(8):
                angle = 2 * math.pi * point / 8
                y, x = row - math.sin(angle), column + math.cos(angle)
                y, x = round(y, 5), round(x, 5)
                top, left = math.floor(y), math.floor(x)
                dy, dx = y - top, x - left
                value = 0.0
                for r, c, weight in (
                    (top, left, (1 - dy) * (1 - dx)), (top, left + 1, (1 - dy) * dx),
                    (top + 1, left, dy * (1 - dx)), (top + 1, left + 1, dy * dx),
                ):  # fmt: skip
                    if weight:
                        value += weight * grey[r, c]
                signs.append(value >= grey[row, column])
            changes = sum(signs[k] != signs[k - 1] for k in range(8))
            counts[sum(signs) if changes <= 2 else 9] += 1
    np.testing.assert_allclose(lbp.lbp(sample)[:10], counts / 90)


def test_lbp_shares() -> None:
    found = lbp.lbp(Sample(_random()))
    assert found.shape == (54,) == (len(lbp.NAMES),)
    for start, end in ((0, 10), (10, 28), (28, 54)):
        assert found[start:end].sum() == pytest.approx(1)
    flat = _named(lbp.NAMES, lbp.lbp(Sample(_grey(np.full((12, 12), 7)))))
    assert flat["lbp_8_8"] > 0.6  # no neighbour is darker, but at the border


# ------------------------------------------------------------------ colour


def test_colour_statistics_are_numpys_and_scipys() -> None:
    image = _random(31, 30)
    found = _named(colour.NAMES, colour.colour(Sample(image)))
    hsv, lab = cv2.cvtColor(image, cv2.COLOR_RGB2HSV), cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    planes = {
        "red": image[..., 0], "green": image[..., 1], "blue": image[..., 2],
        "saturation": hsv[..., 1], "value": hsv[..., 2],
        "lightness": lab[..., 0], "a": lab[..., 1], "b": lab[..., 2],
    }  # fmt: skip
    for name, plane in planes.items():
        values = plane.ravel().astype(float)
        assert found[f"{name}_mean"] == pytest.approx(values.mean())
        assert found[f"{name}_std"] == pytest.approx(values.std())
        assert found[f"{name}_skewness"] == pytest.approx(skew(values))
        for p in colour.PERCENTILES:
            assert found[f"{name}_p{p}"] == np.percentile(values, p, method="inverted_cdf")


@pytest.mark.parametrize(
    ("pixel", "degrees"), [((255, 0, 0), 0), ((0, 255, 0), 120), ((128, 0, 128), 300)]
)
def test_the_direction_of_one_hue(pixel: tuple[int, int, int], degrees: float) -> None:
    image = np.tile(np.array(pixel, np.uint8), (9, 9, 1))
    found = _named(colour.NAMES, colour.colour(Sample(image)))
    assert found["hue_cosine"] == pytest.approx(math.cos(math.radians(degrees)), abs=0.02)
    assert found["hue_sine"] == pytest.approx(math.sin(math.radians(degrees)), abs=0.02)
    assert found["hue_strength"] == pytest.approx(1)


def test_hues_on_both_sides_of_red_are_red_and_opposite_ones_none() -> None:
    image = np.zeros((2, 8, 3), np.uint8)
    image[:, :4], image[:, 4:] = (255, 40, 0), (255, 0, 40)
    found = _named(colour.NAMES, colour.colour(Sample(image)))
    assert found["hue_cosine"] == pytest.approx(1, abs=1e-3)
    assert found["hue_strength"] > 0.98
    image[:, :4], image[:, 4:] = (255, 0, 0), (0, 255, 255)
    assert _named(colour.NAMES, colour.colour(Sample(image)))["hue_strength"] < 1e-9
    grey = _named(colour.NAMES, colour.colour(Sample(_grey(np.full((9, 9), 50)))))
    assert grey["hue_strength"] == grey["hue_cosine"] == grey["red_skewness"] == 0


def test_the_histogram_counts_colours() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = (255, 128, 42)  # cells 5, 3, 0
    found = _named(colour.HISTOGRAM_NAMES, colour.colour_histogram(Sample(image)))
    assert found["rgb_530"] == 0.25 and found["rgb_000"] == 0.75
    assert sum(found.values()) == 1
    shuffled = _random().reshape(-1, 3)
    again = rng(1, "order").permutation(shuffled).reshape(20, 24, 3)
    np.testing.assert_array_equal(
        colour.colour_histogram(Sample(_random())), colour.colour_histogram(Sample(again))
    )  # it does not look at cells


# ------------------------------------------------------------------ the registry


@pytest.mark.parametrize("name", FEATURES.names())
@pytest.mark.parametrize("kind", ["random", "flat", "black", "small"])
def test_every_group_is_finite(name: str, kind: str) -> None:
    image = {
        "random": _random(),
        "flat": _grey(np.full((16, 16), 200)),
        "black": np.zeros((16, 16, 3), np.uint8),
        "small": _random(8, 8),
    }[kind]
    group = FEATURES.get(name)
    values = describe(Sample(image), (name,))[name]
    assert values.dtype == np.float64 and values.shape == (len(group.names),)
    assert np.isfinite(values).all() and group.title
    np.testing.assert_array_equal(values, describe(Sample(image), (name,))[name])


def test_the_sets() -> None:
    assert groups_of("handcrafted") == ("glcm", "lbp", "colour", "shape")
    assert groups_of("deep") == groups_of("none") == ()
    assert all(groups_of(name) == (name,) for name in FEATURES)
    assert set(FEATURE_SETS) == {"deep", "handcrafted", "none", *FEATURES}
    names = [n for group in groups_of("handcrafted") for n in FEATURES.get(group).names]
    assert len(names) == len(set(names))
