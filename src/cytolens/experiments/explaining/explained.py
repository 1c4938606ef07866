"""Run methods over images and put what they say into files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cytolens.core.files import write_json
from cytolens.core.progress import Progress
from cytolens.experiments.explaining.choosing import Part
from cytolens.experiments.explaining.folder import CONTENT, IMAGES, MAPS, MapsFile, write_png
from cytolens.explain import Explanation, Method, Subject, Target
from cytolens.explain.methods.method import settings_of

_BATCH = 4  # images between two steps of progress


@dataclass(frozen=True)
class Asked:
    """An image to explain.

    Attributes:
        image: uint8 [H, W, 3], as the network sees it.
        label: its class, where it is known.
        predicted: what it is called, with that class's probability.
    """

    id: str
    image: NDArray[np.uint8]
    label: str | None
    predicted: str
    probability: float
    part: Part
    target: Target


def write_explanations(
    folder: Path,
    subject: Subject,
    asked: Sequence[Asked],
    methods: Sequence[Method],
    about: dict[str, Any],
    progress: Progress,
) -> None:
    """Explain each image by each method; write `images/`, `maps.npz` and `explanations.json`.

    Args:
        about: the keys of `explanations.json` besides classes, methods and images: "model",
            "skipped" and "notes".

    Raises:
        InputError: whatever a method refuses.
    """
    entries: list[dict[str, Any]] = []
    for number, one in enumerate(asked):
        file = f"{IMAGES}/{number:03d}.png"
        write_png(folder / file, one.image)
        entries.append(
            {
                "id": one.id,
                "file": file,
                "label": one.label,
                "predicted": one.predicted,
                "probability": one.probability,
                "part": one.part,
                "target": one.target.name,
                "explanations": [],
            }
        )
    for method in methods:  # opened here, so that no image's seconds hold it
        if layer := getattr(method, "layer", None):
            subject.opened(layer)
    with MapsFile(folder / MAPS) as maps:
        for method in methods:
            with progress.task(f"explaining with {method.title}", len(asked)) as step:
                for start in range(0, len(asked), _BATCH):
                    part = asked[start : start + _BATCH]
                    images = np.stack([one.image for one in part])  # [n, H, W, 3]
                    found = method.explain(subject, images, [one.target for one in part])
                    for number, explanation in enumerate(found, start):
                        key = f"{number:03d}/{method.name}"
                        maps.add(key, explanation.map)
                        if explanation.segments is not None:
                            maps.add(f"{key}/segments", explanation.segments)
                        entries[number]["explanations"].append(_entry(key, explanation))
                        step()
    content = {
        "model": about["model"],
        "classes": list(subject.classes),
        "methods": [_method(method) for method in methods],
        "images": entries,
        "skipped": about["skipped"],
        "notes": about["notes"],
    }
    write_json(folder / CONTENT, content)


def _entry(key: str, explanation: Explanation) -> dict[str, Any]:
    return {
        "method": explanation.method,
        "key": key,
        "layer": explanation.layer,
        "seconds": explanation.seconds,
        "facts": {name: _finite(value) for name, value in explanation.facts.items()},
        "notes": list(explanation.notes),
        "max": float(explanation.map.max()),
        "min": float(explanation.map.min()),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _method(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "title": method.title,
        "source": method.source,
        "signed": method.signed,
        "settings": settings_of(method),
    }


def called(subject: Subject, images: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Return what the network calls images uint8 [H, W, 3], without test views."""
    names = []
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.stack(images[start : start + _BATCH]))
        with torch.inference_mode():
            scores = subject.scores(batch)  # [n, k]
        names += [subject.classes[i] for i in scores.argmax(dim=1).tolist()]
    return names
