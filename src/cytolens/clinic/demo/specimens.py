"""The demonstration's specimens: phantom smears that its bundle was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from cytolens.core.files import write_bytes
from cytolens.core.seeding import rng
from cytolens.data.phantom import KINDS, PhantomConfig, generate_one
from cytolens.data.phantom.cohort import cohort

SPECIMEN = "cervix-liquid"
ABNORMAL = ("LSIL", "HSIL", "SCC")
BLURRED = "blurred"  # an image out of focus, which the bundle refers
_BLUR = 5.0  # px, standard deviation

# What the bundle is trained on: separable, so that it sorts most images and refers a few.
TRAINED_ON = PhantomConfig(
    tissue="pap",
    images=480,
    size=224,
    patients=24,
    sites=2,
    patient_effect=0.4,
    class_separation=1.6,
    label_patient_correlation=0.5,
    seed=2000,
)
# Other patients, as many as there may be cases; an image is drawn when a case asks for it.
SHOWN = replace(TRAINED_ON, images=8000, patients=100, seed=3000)


def smear(folder: Path, patient: int, labels: Sequence[str], seed: int = 0) -> list[Path]:
    """Draw images of one phantom patient, and return their files (PNG, 224 px).

    Args:
        labels: of each image its class, or `BLURRED`: a clear one out of focus.
    """
    members = cohort(SHOWN)
    classes = KINDS.get(SHOWN.tissue).classes
    own = np.flatnonzero(members.patient == patient % SHOWN.patients)
    order = rng(seed, "demonstration", "smear", patient).permutation(own)
    left = [int(i) for i in order]
    paths = []
    for number, label in enumerate(labels, 1):
        wanted = "NILM" if label == BLURRED else label
        index = next(i for i in left if classes[members.label[i]] == wanted)
        left.remove(index)
        shown = cv2.cvtColor(generate_one(SHOWN, index).image, cv2.COLOR_RGB2BGR)
        if label == BLURRED:
            shown = cv2.GaussianBlur(shown, (0, 0), _BLUR)
        path = folder / f"field-{number:02}.png"
        write_bytes(path, cv2.imencode(".png", shown)[1].tobytes())
        paths.append(path)
    return paths
