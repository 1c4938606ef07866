"""Masks, the built-in segmentation on phantoms whose truth is known, and shapes by hand."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cytolens.core.errors import InputError
from cytolens.data.phantom import PhantomConfig, generate_one
from cytolens.models.classical.masks import CYTOPLASM, NUCLEUS, fit_mask, read_mask
from cytolens.models.classical.sample import Sample
from cytolens.models.classical.segmentation import segment
from cytolens.models.classical.shape import MISSING, NAMES, shape

Mask = NDArray[np.uint8]


def _shape(mask: Mask, image: NDArray[np.uint8] | None = None) -> dict[str, float]:
    pixels = np.full((*mask.shape, 3), 200, np.uint8) if image is None else image
    values = shape(Sample(pixels, mask))
    assert np.isfinite(values).all()
    return dict(zip(NAMES, values.tolist(), strict=True))


# ------------------------------------------------------------------ shapes


def test_a_disc_in_a_disc() -> None:
    mask = np.zeros((101, 101), np.uint8)
    cv2.circle(mask, (50, 50), 40, CYTOPLASM, -1)
    cv2.circle(mask, (60, 50), 15, NUCLEUS, -1)
    image = np.full((101, 101, 3), 255, np.uint8)
    image[mask == CYTOPLASM], image[mask == NUCLEUS] = (200, 150, 220), (90, 50, 130)
    found = _shape(mask, image)
    assert found["nucleus_missing"] == found["cytoplasm_missing"] == 0
    assert found["nuclei"] == 1
    assert found["nucleus_area"] == (mask == NUCLEUS).sum()
    assert found["nucleus_area"] == pytest.approx(math.pi * 15**2, rel=0.03)
    assert found["nucleus_perimeter"] == pytest.approx(2 * math.pi * 15, rel=0.05)
    assert found["nucleus_circularity"] > 0.9 and found["nucleus_solidity"] > 0.95
    assert found["nucleus_eccentricity"] < 0.1
    assert found["cell_area"] == (mask > 0).sum()
    assert found["nucleus_to_cell"] == pytest.approx((15 / 40) ** 2, rel=0.03)
    assert found["nucleus_offset"] == pytest.approx(10 / 40, rel=0.03)
    assert [found[f"nuclei_{c}"] for c in ("red", "green", "blue")] == [90, 50, 130]
    density = -np.log((np.array([90, 50, 130]) + 1) / 256).mean()
    assert found["nuclei_density"] == pytest.approx(density)
    ratio = found["density_ratio"]
    assert ratio == pytest.approx(density / found["cytoplasm_density"]) and ratio > 2


def test_an_ellipse() -> None:
    mask = np.zeros((120, 120), np.uint8)
    cv2.ellipse(mask, (60, 60), (40, 20), 30, 0, 360, NUCLEUS, -1)
    found = _shape(mask)
    assert found["nucleus_eccentricity"] == pytest.approx(math.sqrt(1 - 0.25), abs=0.01)
    assert found["nucleus_major_axis"] == pytest.approx(80, rel=0.03)
    assert found["nucleus_minor_axis"] == pytest.approx(40, rel=0.03)
    assert found["cytoplasm_missing"] == 1 and found["density_ratio"] == 0


def test_the_main_nucleus_is_the_middle_one_and_specks_are_none() -> None:
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(mask, (50, 48), 10, NUCLEUS, -1)
    cv2.circle(mask, (15, 15), 14, NUCLEUS, -1)  # larger, at the border
    mask[70:73, 50:53] = NUCLEUS  # a speck
    found = _shape(mask)
    assert found["nuclei"] == 2
    assert found["nucleus_area"] == pytest.approx(math.pi * 100, rel=0.05)
    assert found["nuclei_area_largest"] > found["nuclei_area_mean"] > found["nucleus_area"]
    assert found["nuclei_share"] == (mask == NUCLEUS).mean()


@pytest.mark.parametrize("points", [[(3, 3)], [(3, 3), (3, 4)], [(0, c) for c in range(12)]])
def test_degenerate_nuclei(points: list[tuple[int, int]]) -> None:
    mask = np.zeros((12, 12), np.uint8)
    for point in points:
        mask[point] = NUCLEUS
    found = _shape(mask)
    assert found["nucleus_area"] == len(points) and 0 < found["nucleus_solidity"] <= 1


def test_nothing_found_is_zeros_and_a_flag() -> None:
    found = _shape(np.zeros((20, 20), np.uint8))
    assert {name for name, value in found.items() if value} == {
        "nucleus_missing",
        "cytoplasm_missing",
    }
    assert NAMES[MISSING] == "nucleus_missing"
    assert len(NAMES) == len(set(NAMES))


# ------------------------------------------------------------------ segmentation


def _main(mask: Mask) -> NDArray[np.bool_]:
    """Return the nucleus that lies nearest to the middle."""
    _, labels = cv2.connectedComponents((mask == NUCLEUS).astype(np.uint8))
    rows, columns = np.nonzero(labels)
    if len(rows) == 0:
        return np.zeros(mask.shape, bool)
    middle = (np.array(mask.shape) - 1) / 2
    nearest = np.argmin((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2)
    return np.asarray(labels == labels[rows[nearest], columns[nearest]])


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("tissue", "least", "all_nuclei"), [("pap", 0.85, False), ("blood", 0.88, False),
                                        ("histology", 0.75, True)],
)  # fmt: skip
def test_the_segmentation_finds_the_nuclei_of_phantoms(
    tissue: str, least: float, all_nuclei: bool
) -> None:
    """Smears mark the middle cell alone, histology every nucleus."""
    config = PhantomConfig(tissue=tissue, images=24, size=96, patients=8)
    overlaps = []
    for index in range(24):
        phantom = generate_one(config, index)
        found = segment(phantom.image)
        assert found.dtype == np.uint8 and set(np.unique(found)) <= {0, CYTOPLASM, NUCLEUS}
        if all_nuclei:
            overlaps.append(_iou(found == NUCLEUS, phantom.mask == NUCLEUS))
        else:
            overlaps.append(_iou(_main(found), _main(phantom.mask)))
    assert np.mean(overlaps) > least


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_without_contrast_has_no_nuclei(value: int) -> None:
    flat = np.full((40, 40, 3), value, np.uint8)
    assert not (segment(flat) == NUCLEUS).any()
    noise = np.random.default_rng(0).integers(-3, 4, flat.shape)
    noisy = np.clip(flat.astype(int) + noise, 100, 255).astype(np.uint8)
    assert not (segment(noisy) == NUCLEUS).any()


# ------------------------------------------------------------------ masks


def _write(path: Path, values: NDArray[np.generic]) -> Path:
    Image.fromarray(values).save(path)
    return path


def test_codes_and_grey_levels_say_the_same(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 2, 3]] * 4, np.uint8)
    expected = np.array([[0, 1, 2, 0]] * 4, np.uint8)
    np.testing.assert_array_equal(read_mask(_write(tmp_path / "a.png", codes), (4, 4)), expected)
    grey = np.array([[0, 128, 255, 24]] * 4, np.uint8)  # 24: an edge that was smoothed
    path = _write(tmp_path / "b.png", grey)
    np.testing.assert_array_equal(read_mask(path, (4, 4)), expected)
    path = _write(tmp_path / "c.png", np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_mask(path, (4, 4)), expected)
    path = _write(tmp_path / "d.png", np.eye(4, dtype=bool))
    np.testing.assert_array_equal(read_mask(path, (4, 4)), 2 * np.eye(4))
    path = _write(tmp_path / "e.png", np.zeros((4, 4), np.uint8))
    assert not read_mask(path, (4, 4)).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), 7, np.uint8), "has values up to 7: neither codes nor grey levels."),
        (np.zeros((5, 4), np.uint8), "has 4 x 5 pixels, its image 4 x 4."),
        (np.arange(48, dtype=np.uint8).reshape(4, 4, 3), "is coloured."),
        (np.full((4, 4), 300, np.uint16), "has values up to 300: neither codes"),
    ],
)
def test_masks_that_cannot_be_meant(
    tmp_path: Path, values: NDArray[np.generic], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_mask(_write(tmp_path / "m.png", values), (4, 4))
    assert message in caught.value.what and caught.value.expected


def test_a_mask_that_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_mask(path, (4, 4))


def test_a_mask_follows_its_image() -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[:, 10:] = NUCLEUS
    assert fit_mask(mask, (10, 20), letterbox=True) is mask
    stretched = fit_mask(mask, (8, 8), letterbox=False)
    np.testing.assert_array_equal(stretched[:, 4:], np.full((8, 4), NUCLEUS))
    boxed = fit_mask(mask, (20, 20), letterbox=True)
    assert not boxed[:5].any() and not boxed[15:].any()
    np.testing.assert_array_equal(boxed[5:15], mask)
