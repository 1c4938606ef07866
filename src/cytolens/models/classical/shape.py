"""Shape and density of nuclei and cytoplasm, from a mask or the built-in segmentation."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.models.classical.masks import CYTOPLASM, NUCLEUS
from cytolens.models.classical.sample import Sample

_SPECK = 0.1  # a piece below this part of the largest one's area is no nucleus
_MAIN = 0.25  # the main nucleus has at least this part of the largest one's area
_OUTLINE = (
    "area", "perimeter", "eccentricity", "solidity", "extent", "circularity", "major_axis",
    "minor_axis",
)  # fmt: skip
_SPREAD = ("area", "eccentricity", "solidity", "circularity")
NAMES = (
    "nucleus_missing",
    "cytoplasm_missing",
    "nuclei",
    "nuclei_share",
    "cytoplasm_share",
    "nucleus_to_cell",
    *(f"nucleus_{name}" for name in _OUTLINE),
    *(f"nuclei_{name}_{part}" for name in _SPREAD for part in ("mean", "std", "largest")),
    *(f"cell_{name}" for name in _OUTLINE),
    "nucleus_offset",
    *(f"{part}_{name}" for part in ("nuclei", "cytoplasm")
      for name in ("red", "green", "blue", "density", "density_std")),
    "density_ratio",
)  # fmt: skip
MISSING = NAMES.index("nucleus_missing")


def shape(sample: Sample) -> NDArray[np.float64]:
    """Return what `NAMES` says, [len(NAMES)]; what is missing is 0 and has a flag, never NaN.

    Lengths and areas in pixels of the image that was measured. The main nucleus, which
    `nucleus_…` and `cell_…` describe, is the one nearest to the middle among those that are not
    small; its cell is the connected cytoplasm and nuclei around it. Circularity is 4π area /
    perimeter² (at most 1), `nucleus_to_cell` the nuclei's part of all cell pixels, density the
    mean optical density of R, G and B, `nucleus_offset` the distance between the middles of
    nucleus and cell over the radius of a disc of the cell's area.
    """
    found = dict.fromkeys(NAMES, 0.0)
    nuclei, cytoplasm = sample.parts == NUCLEUS, sample.parts == CYTOPLASM
    found |= _amounts(nuclei, cytoplasm)
    found |= _stain("nuclei", sample.image, nuclei)
    found |= _stain("cytoplasm", sample.image, cytoplasm)
    if found["cytoplasm_density"] > 0:
        found["density_ratio"] = found["nuclei_density"] / found["cytoplasm_density"]
    regions = _nuclei(nuclei)
    found["nuclei"] = float(len(regions))
    if regions:
        outlines = [_outline(region) for region in regions]
        main = _main(regions, nuclei.shape)
        found |= {f"nucleus_{name}": value for name, value in outlines[main].items()}
        for name in _SPREAD:
            values = np.array([outline[name] for outline in outlines])
            found |= {
                f"nuclei_{name}_mean": float(values.mean()),
                f"nuclei_{name}_std": float(values.std()),
                f"nuclei_{name}_largest": float(values.max()),
            }
        found |= _cell(nuclei | cytoplasm, regions[main])
    return np.array([found[name] for name in NAMES])


def _amounts(nuclei: NDArray[np.bool_], cytoplasm: NDArray[np.bool_]) -> dict[str, float]:
    n, c = float(nuclei.sum()), float(cytoplasm.sum())
    return {
        "nucleus_missing": float(n == 0),
        "cytoplasm_missing": float(c == 0),
        "nuclei_share": n / nuclei.size,
        "cytoplasm_share": c / nuclei.size,
        "nucleus_to_cell": n / (n + c) if n + c else 0.0,
    }


def _stain(part: str, image: NDArray[np.uint8], where: NDArray[np.bool_]) -> dict[str, float]:
    if not where.any():
        return {}
    pixels = image[where].astype(np.float64)  # [n, 3]
    density = -np.log((pixels + 1) / 256).mean(axis=1)  # [n]
    red, green, blue = pixels.mean(axis=0)
    return {
        f"{part}_red": red,
        f"{part}_green": green,
        f"{part}_blue": blue,
        f"{part}_density": float(density.mean()),
        f"{part}_density_std": float(density.std()),
    }


def _pieces(mask: NDArray[np.bool_]) -> list[Any]:
    """Return scikit-image's regions of the 8-connected pieces."""
    from skimage.measure import regionprops

    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    # scikit-image's functions are not annotated: hence the ignore.
    return list(regionprops(labels))  # type: ignore[no-untyped-call]


def _nuclei(mask: NDArray[np.bool_]) -> list[Any]:
    regions = _pieces(mask)
    largest = max((region.area for region in regions), default=0)
    return [region for region in regions if region.area >= _SPECK * largest]


def _main(regions: list[Any], shape: tuple[int, ...]) -> int:
    """Return the position of the nucleus nearest to the middle that is not small."""
    middle = (np.array(shape) - 1) / 2
    largest = max(region.area for region in regions)
    distances = [
        float(np.linalg.norm(np.array(region.centroid) - middle))
        if region.area >= _MAIN * largest
        else np.inf
        for region in regions
    ]
    return int(np.argmin(distances))


def _outline(region: Any) -> dict[str, float]:
    area, perimeter = float(region.area), float(region.perimeter)
    hull = float(region.area_convex)
    return {
        "area": area,
        "perimeter": perimeter,
        "eccentricity": float(region.eccentricity),
        "solidity": area / hull if hull > 0 else 1.0,
        "extent": float(region.extent),
        "circularity": min(1.0, 4 * np.pi * area / perimeter**2) if perimeter > 0 else 1.0,
        "major_axis": float(region.axis_major_length),
        "minor_axis": float(region.axis_minor_length),
    }


def _cell(mask: NDArray[np.bool_], nucleus: Any) -> dict[str, float]:
    """Describe the piece of `mask` that holds the nucleus, and where the nucleus lies in it."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    [cell] = _pieces(labels == labels[tuple(nucleus.coords[0])])
    offset = np.linalg.norm(np.array(nucleus.centroid) - np.array(cell.centroid))
    radius = np.sqrt(cell.area / np.pi)
    outline = {f"cell_{name}": value for name, value in _outline(cell).items()}
    return outline | {"nucleus_offset": float(offset / radius)}
