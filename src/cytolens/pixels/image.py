"""The one kind of image in this room: a uint8 RGB array [H, W, 3]."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]


def assert_image(image: Image) -> None:
    """Check that `image` is a non-empty uint8 array [H, W, 3]; anything else is our own mistake."""
    right = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    assert right, f"not a uint8 image [H, W, 3]: {image.dtype} {image.shape}"
