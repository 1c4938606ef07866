"""The geometry of augmentation: draw one affine map, apply it once."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cytolens.core.errors import InputError
from cytolens.pixels.config import AugmentConfig
from cytolens.pixels.image import Image

Matrix = npt.NDArray[np.float64]

_FILLS = {
    "reflect": cv2.BORDER_REFLECT,  # cba|abc|cba
    "nearest": cv2.BORDER_REPLICATE,  # aaa|abc|ccc
    "wrap": cv2.BORDER_WRAP,  # abc|abc|abc
    "constant": cv2.BORDER_CONSTANT,
}


def draw_affine(config: AugmentConfig, rng: np.random.Generator, size: tuple[int, int]) -> Matrix:
    """Return the map (x, y) of the result → (x, y) of the image, float64 [2, 3], in pixels.

    x runs along the width, pixel centres are whole numbers. The same numbers are drawn whatever
    the settings, so that one geometric setting does not shift the draws of another.

    Raises:
        InputError: quarter turns of an image that is not square.
    """
    angle, down, across, shear, zoom_x, zoom_y = rng.uniform(-1, 1, 6)
    flip_x, flip_y = rng.random(2) < 0.5
    turns = int(rng.integers(4))
    height, width = size
    if config.quarter_turns and height != width:
        raise InputError(
            f"Quarter turns need square images, got {width} x {height} pixels.",
            fix="set a square size, or use horizontal_flip and vertical_flip instead.",
        )
    zoom = (1 + config.zoom * zoom_x, 1 + config.zoom * zoom_y)
    shift = (config.height_shift * down * height, config.width_shift * across * width)
    theta = float(np.deg2rad(config.rotation * angle))
    if config.semantics == "keras":
        warp = keras_affine(theta, shift, float(np.deg2rad(config.shear * shear)), zoom, size)
    else:
        warp = stated_affine(theta, shift, config.shear * shear, zoom, size)
    mirror = _mirror(
        config.horizontal_flip and bool(flip_x), config.vertical_flip and bool(flip_y), size
    )
    turn = _about(_rotation(turns * np.pi / 2 if config.quarter_turns else 0.0), _centre(size))
    return np.ascontiguousarray((turn @ warp @ mirror)[:2])  # turned, warped, then flipped


def keras_affine(
    theta: float,
    shift: tuple[float, float],
    shear: float,
    zoom: tuple[float, float],
    size: tuple[int, int],
) -> Matrix:
    """Return Keras' map, float64 [3, 3] (keras/src/legacy/preprocessing/image.py).

    `theta` and `shear` in radians, `shift` (of the height, of the width) in pixels, `size`
    (height, width). Keras writes rotation · shift · shear · zoom about (height/2 - ½, width/2 - ½),
    then exchanges the axes: its first axis ends up as x. Hence the height's shift moves columns,
    and the centre of an image that is not square is transposed. We keep that, as it is what ran.
    """
    height, width = size
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    matrix = _rotation(theta) @ _translation(*shift) @ sheared @ np.diag([*zoom, 1.0])
    return _about(matrix, (height / 2 - 0.5, width / 2 - 0.5))


def stated_affine(
    theta: float,
    shift: tuple[float, float],
    shear: float,
    zoom: tuple[float, float],
    size: tuple[int, int],
) -> Matrix:
    """Return the same composition with the plain meaning of its words, float64 [3, 3].

    `shear` is the factor by which a row moves per pixel from the centre, `shift` (of the height,
    of the width) moves along y and x, and the centre is the image's.
    """
    sheared = np.array([[1, -shear, 0], [0, 1, 0], [0, 0, 1]])
    matrix = _rotation(theta) @ _translation(*shift[::-1]) @ sheared @ np.diag([*zoom, 1.0])
    return _about(matrix, _centre(size))


def apply_affine(image: Image, matrix: Matrix, config: AugmentConfig) -> Image:
    """Warp uint8 [H, W, 3] by `matrix` (result → image), bilinear → uint8 [H, W, 3]."""
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=_FILLS[config.fill],
            borderValue=(config.fill_value,) * 3,
        ),
        np.uint8,
    )


def _rotation(theta: float) -> Matrix:
    cos, sin = np.cos(theta), np.sin(theta)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _translation(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _centre(size: tuple[int, int]) -> tuple[float, float]:
    height, width = size
    return (width - 1) / 2, (height - 1) / 2


def _about(matrix: Matrix, centre: tuple[float, float]) -> Matrix:
    x, y = centre
    moved: Matrix = _translation(x, y) @ matrix @ _translation(-x, -y)
    return moved


def _mirror(flip_x: bool, flip_y: bool, size: tuple[int, int]) -> Matrix:
    return _about(np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0, 1.0]), _centre(size))
