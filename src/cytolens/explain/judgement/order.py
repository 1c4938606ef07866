"""The order in which a map would have the pixels of an image looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cytolens.explain.methods.method import draws_for, upsampled
from cytolens.explain.methods.random_map import RandomMap


def pixel_order(
    values: NDArray[np.float32], image: NDArray[np.uint8], seed: int = 0
) -> NDArray[np.int64]:
    """Return the pixels by falling value of a map: what speaks for the target first.

    Ties, such as the zeros of a rectified map, are broken by another draw of the random map, the
    same for every method: an empty map is judged as a random one. Ties broken pixel by pixel would
    put salt and pepper over the image, which harms a network more than taking away a part of the
    cell.

    Args:
        values: float32 [H, W].
        image: uint8 [H, W, 3], by which the draw is told from that of others.
        seed: of the draw.

    Returns:
        int64 [H · W], places in the flattened map.
    """
    grid = RandomMap().grid
    cells = draws_for("order", seed, image).random((1, grid, grid), dtype=np.float32)
    ties = upsampled(cells, image.shape[:2])[0]
    return np.lexsort((ties.ravel(), -values.ravel()))
