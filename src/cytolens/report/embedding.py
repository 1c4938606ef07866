"""Where a contrastive encoder places the images, in two dimensions: `embedding.json` of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import read_json


@dataclass(frozen=True)
class Embedding:
    """Images in the plane.

    Attributes:
        part: of the first fold's split, "test".
        method: how the plane was made, "t-SNE".
        labels: class names [n].
        xy: float64 [n, 2], without a unit.
        images: how many the part has; the n are drawn from them.
    """

    part: str
    method: str
    labels: list[str]
    xy: NDArray[np.float64]
    images: int


def read_embedding(run: Path, classes: Sequence[str]) -> Embedding | None:
    """Return the embedding of a run folder; None without one.

    Args:
        run: the run folder.
        classes: names of the classes, for labels that are written as their numbers.

    Raises:
        InputError: the file is damaged.
    """
    path = run / "embedding.json"
    if not path.is_file():
        return None
    content = read_json(path, "embedding")
    try:
        labels = [classes[v] if isinstance(v, int) else str(v) for v in content["labels"]]
        xy = np.array(content["xy"], np.float64).reshape(-1, 2)  # [n, 2]
        found = Embedding(
            part=str(content.get("part", "test")),
            method=str(content.get("method", "")),
            labels=labels,
            xy=xy,
            images=int(content.get("images", len(labels))),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not an embedding: {error!r}.") from error
    if len(labels) != len(xy) or not np.isfinite(xy).all():
        raise InputError(
            f"{path} is not an embedding: {len(labels)} labels, {len(xy)} points.",
            expected="a label and two finite numbers an image",
        )
    return found
