"""A drawn sample of the inputs and of their augmented views, for the report."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cytolens.core.files import write_bytes, write_json
from cytolens.core.seeding import rng
from cytolens.data.manifest import Manifest
from cytolens.data.reading import read_image
from cytolens.experiments.recipe import Recipe
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.views import view

_INPUTS = 8
_VIEWS = 4
_SIDE = 160  # pixels of the longer side in the report


def write_samples(
    folder: Path, manifest: Manifest, recipe: Recipe, size: tuple[int, int] | None
) -> None:
    """Write `input_<k>.png`, `view_<k>_<v>.png` and `index.json`: what the learner sees.

    One image a class first, then more of the classes in turn, drawn from the recipe's seed; the
    views are the very ones of training.

    Args:
        size: height and width in pixels; None: each image's own.
    """
    drawn = rng(recipe.seed, "samples").permutation(len(manifest))
    originals = [int(row) for row in drawn if manifest.rows[row].parent is None]
    chosen: list[int] = []
    while len(chosen) < min(_INPUTS, len(originals)):
        for number in range(len(manifest.classes)):
            mine = [r for r in originals if manifest.labels[r] == number and r not in chosen]
            if mine and len(chosen) < _INPUTS:
                chosen.append(mine[0])
    index = []
    for k, row in enumerate(chosen):
        item = manifest.rows[row]
        read = read_image(item.image)
        image = preprocess(read, recipe.pixels, size or (read.shape[0], read.shape[1]))
        write_bytes(folder / f"input_{k}.png", _png(image))
        names = []
        for v in range(1, _VIEWS + 1 if _draws_views(recipe) else 0):
            names.append(f"view_{k}_{v}.png")
            pixels = view(image, recipe.augment, recipe.seed, item.id, v)
            write_bytes(folder / names[-1], _png(pixels))
        index.append(
            {"id": item.id, "label": item.label, "input": f"input_{k}.png", "views": names}
        )
    write_json(folder / "index.json", index)


def _draws_views(recipe: Recipe) -> bool:
    """Whether anything is augmented; a classical classifier sees no views."""
    return not (recipe.augment.identity or recipe.classifier.used)


def _png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # cv2 widens the type
    done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done, "OpenCV writes PNG"
    return content.tobytes()
