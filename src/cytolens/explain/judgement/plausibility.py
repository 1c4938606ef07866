"""Whether a map lies where an expert would look: on the nucleus, on the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.explain.explanation import Explanation
from cytolens.explain.judgement.order import pixel_order
from cytolens.explain.judgement.regions import REGIONS, region


@dataclass(frozen=True)
class Plausibility:
    """How a map lies over the regions of a mask; each a share of 0 … 1.

    None where it is undefined: nothing in the map speaks for the target, or the image has no such
    region.

    Attributes:
        energy_nucleus, energy_cell: share of the map's positive part that lies inside. A map that
            knows nothing gets the share of the image that the region covers.
        pointing_nucleus, pointing_cell: 1 where the maximum lies inside, else 0; where several
            pixels share it (a superpixel), the share of them inside.
        iou_nucleus, iou_cell: intersection over union of the region and as many of the map's
            highest pixels as the region has.
    """

    energy_nucleus: float | None
    energy_cell: float | None
    pointing_nucleus: float | None
    pointing_cell: float | None
    iou_nucleus: float | None
    iou_cell: float | None


def plausibility(
    explanation: Explanation,
    mask: NDArray[np.integer],
    image: NDArray[np.uint8],
    seed: int = 0,
) -> Plausibility:
    """Compare a map with where the cell is.

    Energy: the energy-based pointing game of Wang et al. 2020 (Score-CAM), section 4.3, on raw
    magnitudes. Pointing: Zhang et al. 2018, without their tolerance of 15 px.

    Args:
        mask: codes [H, W] of the map's size: 0 background, 1 cytoplasm, 2 nucleus
            (`regions.region_codes`).
        image: uint8 [H, W, 3]; with `seed` it decides the order of pixels ranked equally.

    Raises:
        InputError: a mask of another size.
    """
    if mask.shape != explanation.map.shape:
        raise InputError(
            f"A mask of shape {mask.shape} for a map of shape {explanation.map.shape}.",
            fix="bring it to the network's size with `region_codes`.",
        )
    found: dict[str, float | None] = {}
    values = explanation.positive.astype(np.float64)
    order = pixel_order(explanation.map, image, seed)
    for name in REGIONS:
        inside = region(mask, name)
        defined = bool(inside.any() and values.any())
        found[f"energy_{name}"] = float(values[inside].sum() / values.sum()) if defined else None
        highest = values == values.max()
        found[f"pointing_{name}"] = float(inside[highest].mean()) if defined else None
        found[f"iou_{name}"] = _matched(order, inside) if defined else None
    return Plausibility(**found)


def _matched(order: NDArray[np.int64], inside: NDArray[np.bool_]) -> float:
    """IoU of two sets of the same size n with m in common: m / (2n - m)."""
    n = int(inside.sum())
    m = int(inside.ravel()[order[:n]].sum())
    return m / (2 * n - m)
