"""Draw docs/images/phantoms.png: one row a phantom tissue, its classes in turn.

python scripts/draw_phantoms.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cytolens.data.phantom import KINDS, PhantomConfig
from cytolens.data.phantom.generate import generate_one

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "phantoms.png"
SIDE, COLUMNS, GAP, STRIP = 88, 10, 3, 14  # pixels; STRIP holds the class names


def row(tissue: str) -> NDArray[np.uint8]:
    """Return the images of a tissue side by side, classes in order, uint8 RGB."""
    config = PhantomConfig(tissue=tissue, images=120, size=SIDE, seed=7, class_separation=1.5)
    classes = KINDS.get(tissue).classes
    made = [generate_one(config, index) for index in range(60)]
    cells = []
    for column in range(COLUMNS):
        label = classes[column * len(classes) // COLUMNS]
        same = [one for one in made if one.label == label]
        cells.append(named(same[column % len(same)].image, label))
    gap = np.full((SIDE + STRIP, GAP, 3), 255, np.uint8)
    return np.hstack([part for cell in cells for part in (cell, gap)])


def named(image: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    """Return the image with its class below it."""
    strip = np.full((STRIP, SIDE, 3), 255, np.uint8)
    word = label.replace("superficial_intermediate", "superficial").replace("_", " ")
    cv2.putText(strip, word, (1, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.34, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([image, strip])


def main() -> int:
    sheet = np.vstack([row(tissue) for tissue in KINDS])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).quantize(256).save(TARGET, optimize=True)
    sys.stdout.write(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
