"""Geometry against Keras' own formula, applied by scipy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from cytolens.core.errors import InputError
from cytolens.pixels import AugmentConfig, augment
from cytolens.pixels.affine import apply_affine, draw_affine, keras_affine, stated_affine
from cytolens.pixels.config import Fill

Array = npt.NDArray[np.float64]


def naive_keras(  # keras/src/legacy/preprocessing/image.py: apply_affine_transform
    image: npt.NDArray[np.uint8],
    degrees: float,
    tx: float,
    ty: float,
    shear: float,
    zx: float,
    zy: float,
    mode: str,
) -> Array:
    a, s = np.deg2rad(degrees), np.deg2rad(shear)
    matrix = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    matrix = matrix @ np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    matrix = matrix @ np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    matrix = matrix @ np.array([[zx, 0, 0], [0, zy, 0], [0, 0, 1]])
    h, w = image.shape[:2]
    ox, oy = h / 2 - 0.5, w / 2 - 0.5
    there = np.array([[1, 0, ox], [0, 1, oy], [0, 0, 1]])
    back = np.array([[1, 0, -ox], [0, 1, -oy], [0, 0, 1]])
    matrix = there @ matrix @ back
    matrix = matrix[[1, 0, 2]][:, [1, 0, 2]]  # Keras exchanges x and y
    planes = [
        ndimage.affine_transform(
            image[..., c].astype(float), matrix[:2, :2], matrix[:2, 2], order=1, mode=mode, cval=40
        )
        for c in range(3)
    ]
    return np.stack(planes, axis=-1)


def noise(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (48, 72), (61, 33)])
@pytest.mark.parametrize(
    ("fill", "mode"), [("reflect", "reflect"), ("nearest", "nearest"), ("wrap", "grid-wrap")]
)
@pytest.mark.parametrize(
    "parameters",
    [
        (0, 5.5, -3.25, 0, 1, 1),
        (33, 0, 0, 0, 1, 1),
        (0, 0, 0, 14, 1, 1),
        (0, 0, 0, 0, 0.8, 1.2),
        (-41, 7.7, -9.1, 8, 1.15, 0.87),
    ],
)
def test_keras_pixels(
    size: tuple[int, int], fill: Fill, mode: str, parameters: tuple[float, ...]
) -> None:
    image = noise(*size)
    degrees, tx, ty, shear, zx, zy = parameters
    matrix = keras_affine(np.deg2rad(degrees), (tx, ty), np.deg2rad(shear), (zx, zy), size)
    ours = apply_affine(image, matrix[:2], AugmentConfig(fill=fill))
    reference = naive_keras(image, degrees, tx, ty, shear, zx, zy, mode)
    assert np.abs(ours - reference).max() < 0.6  # a uint8 is rounded: half a grey level


def test_keras_constant_fill_inside() -> None:
    image = noise(64, 64)
    matrix = keras_affine(0.5, (6.0, -4.0), 0.1, (1.1, 0.9), (64, 64))
    ours = apply_affine(image, matrix[:2], AugmentConfig(fill="constant", fill_value=40))
    reference = naive_keras(image, np.rad2deg(0.5), 6, -4, np.rad2deg(0.1), 1.1, 0.9, "constant")
    y, x = np.mgrid[:64, :64]
    at = matrix[:2] @ np.stack([x.ravel(), y.ravel(), np.ones(64 * 64)])  # [2, H·W]
    inside = ((at > 0) & (at < 63)).all(axis=0).reshape(64, 64)
    outside = ((at < -1) | (at > 64)).any(axis=0).reshape(64, 64)
    assert np.abs(ours - reference)[inside].max() < 0.6
    assert (ours[outside] == 40).all() and outside.any()


def test_keras_shear_of_a_fifth_is_a_fifth_of_a_degree() -> None:
    rng = np.random.default_rng
    keras = draw_affine(AugmentConfig(shear=0.2, semantics="keras"), rng(3), (100, 100))
    stated = draw_affine(AugmentConfig(shear=0.2), rng(3), (100, 100))
    assert abs(keras[0, 1]) == pytest.approx(abs(stated[0, 1]) * np.pi / 180, rel=1e-3)


def test_stated_moves_along_the_axis_it_names() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        wide = draw_affine(AugmentConfig(width_shift=0.25), rng, (40, 80))
        assert abs(wide[0, 2]) <= 20 and wide[0, 2] != 0 and wide[1, 2] == 0
    keras = draw_affine(AugmentConfig(width_shift=0.25, semantics="keras"), rng, (40, 80))
    assert keras[0, 2] == 0 and keras[1, 2] != 0  # Keras' habit: the width's shift moves rows


def test_stated_turns_about_the_centre() -> None:
    matrix = stated_affine(0.7, (0, 0), 0.1, (0.9, 1.1), (40, 80))
    assert matrix @ [39.5, 19.5, 1] == pytest.approx([39.5, 19.5, 1])


def test_draws_stay_in_range_and_fill_it() -> None:
    rng = np.random.default_rng(5)
    zooms = [draw_affine(AugmentConfig(zoom=0.2), rng, (9, 9)) for _ in range(500)]
    x, y = np.array([m[0, 0] for m in zooms]), np.array([m[1, 1] for m in zooms])
    assert x.min() >= 0.8 and x.max() <= 1.2 and np.ptp(x) > 0.38
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15  # independent
    turns = [draw_affine(AugmentConfig(rotation=30), rng, (9, 9)) for _ in range(500)]
    angles = np.rad2deg([np.arctan2(m[1, 0], m[0, 0]) for m in turns])
    assert np.abs(angles).max() <= 30 and np.ptp(angles) > 55


def test_flips_and_quarter_turns_are_exact() -> None:
    image = noise(17, 17)
    config = AugmentConfig(horizontal_flip=True, vertical_flip=True, quarter_turns=True)
    group = {np.rot90(i, k).tobytes() for i in (image, image[:, ::-1]) for k in range(4)}
    seen = {augment(image, config, np.random.default_rng(s)).tobytes() for s in range(60)}
    assert seen == group


def test_quarter_turns_need_square_images() -> None:
    with pytest.raises(InputError) as caught:
        augment(noise(4, 6), AugmentConfig(quarter_turns=True), np.random.default_rng(0))
    assert str(caught.value) == (
        "Quarter turns need square images, got 6 x 4 pixels.\n"
        "Way out: set a square size, or use horizontal_flip and vertical_flip instead."
    )
