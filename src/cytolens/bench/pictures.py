"""Image files in any number, made in no time: soft random colours, each file of its own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.seeding import rng

_GRAIN = 12  # cells a side that colours are drawn for


def soft_picture(side: int, *names: str | int) -> NDArray[np.uint8]:
    """Return one picture, uint8 [side, side, 3]; the names seed it."""
    coarse = rng(0, "bench", *names).integers(0, 256, (_GRAIN, _GRAIN, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def write_pictures(
    folder: Path, count: int, side: int, *, classes: int = 2, suffix: str = ".jpg"
) -> list[Path]:
    """Write pictures as `FOLDER/CLASS/NUMBER.jpg` (quality 90) and return their paths.

    A class is told by its tint, so that training has something to find.
    """
    paths = []
    for number in range(count):
        label = number % classes
        path = folder / f"c{label}" / f"{number:06}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = soft_picture(side, number) // 2
        picture[..., label % 3] += np.uint8(40 + 10 * (label // 3))
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else []
        whole, content = cv2.imencode(suffix, picture[..., ::-1], quality)
        assert whole, "encoding failed"
        path.write_bytes(content.tobytes())
        paths.append(path)
    return paths
