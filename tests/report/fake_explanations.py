"""Writes `explanations/` of a run as `cytolens explain` would, from synthetic maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fake_run import CLASSES, write_json
from numpy.typing import NDArray
from PIL import Image

METHODS = {
    "grad_cam": ("Grad-CAM", False),
    "score_cam": ("Score-CAM", False),
    "integrated_gradients": ("Integrated gradients", True),
    "lime": ("LIME", True),
    "eigen_cam": ("Eigen-CAM", False),
    "random_map": ("Random map", False),
}
EMPTY = "the map is zero everywhere: the method found nothing that speaks for the target"


@dataclass
class Told:
    """What is written: `parts` names how many images of each part there are, `side` their px."""

    parts: tuple[tuple[str, int], ...] = (("correct", 2), ("wrong", 1), ("class", 2))
    methods: Sequence[str] = tuple(METHODS)
    side: int = 64
    judged: bool = True
    masks: bool = True
    untrusted: tuple[str, ...] = ("eigen_cam", "random_map")


def write_explanations(run: Path, told: Told | None = None) -> Path:
    """Write the folder and return it. The second image has an empty Grad-CAM."""
    told = told or Told()
    folder = run / "explanations"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    images: list[dict[str, Any]] = []
    maps: dict[str, NDArray[Any]] = {}
    for part, count in told.parts:
        for place in range(count):
            number = len(images)
            label = place % len(CLASSES)
            predicted = (label + 1) % len(CLASSES) if part == "wrong" else label
            centre = rng.uniform(0.35, 0.65, 2) * told.side
            file = f"images/{number:03d}.png"
            Image.fromarray(_cell(told.side, centre, label, rng)).save(folder / file)
            said = []
            for name in told.methods:
                key = f"{number:03d}/{name}"
                found, segments, facts = _map(name, told.side, centre, rng)
                if number == 1 and name == "grad_cam":
                    found = np.zeros_like(found)
                maps[key] = found
                if segments is not None:
                    maps[f"{key}/segments"] = segments
                said.append(
                    {
                        "method": name, "key": key, "layer": None, "seconds": 0.1, "facts": facts,
                        "notes": [] if found.any() else [EMPTY],
                        "max": float(found.max()), "min": float(found.min()),
                    }
                )  # fmt: skip
            images.append(
                {
                    "id": f"images/{CLASSES[label]}/{number:03d}.png", "file": file,
                    "label": CLASSES[label], "predicted": CLASSES[predicted],
                    "probability": 0.5 + 0.04 * place, "part": part,
                    "target": CLASSES[predicted], "explanations": said,
                }
            )  # fmt: skip
    content = {
        "model": {"run": "phantom", "backbone": "cytolens_tiny", "fold": 0, "sha256": "0" * 64},
        "classes": list(CLASSES),
        "methods": [
            {"name": n, "title": METHODS[n][0], "source": "", "signed": METHODS[n][1],
             "settings": {}} for n in told.methods
        ],
        "images": images,
        "skipped": [{"file": "lost.png", "problem": "is truncated or damaged"}],
        "notes": ["Images of the first fold’s test part, drawn by seed 0."],
    }  # fmt: skip
    write_json(folder / "explanations.json", content)
    np.savez_compressed(folder / "maps.npz", allow_pickle=False, **maps)
    if told.judged:
        write_json(folder / "judgement.json", judgement(told))
    return folder


def _cell(
    side: int, centre: NDArray[np.float64], label: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    y, x = np.indices((side, side))
    away = np.hypot(y - centre[0], x - centre[1])
    image = np.full((side, side, 3), (236.0, 230.0, 236.0))
    image[away < 0.36 * side] = (196, 170, 205)
    image[away < (0.1 + 0.04 * label) * side] = (84, 60, 120)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def _map(
    name: str, side: int, centre: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32] | None, dict[str, float]]:
    y, x = np.indices((side, side))
    away = np.hypot(y - centre[0], x - centre[1]) / side
    hot = np.exp(-((away / 0.2) ** 2))
    if name == "integrated_gradients":
        noisy = hot * rng.normal(0.3, 1, hot.shape) * 1e-6
        return noisy.astype(np.float32), None, {"completeness_error": 0.012, "passes": 32.0}
    if name == "lime":
        cells = max(1, side // 7)
        segments = (y // cells * -(-side // cells) + x // cells).astype(np.int32)
        segments = np.unique(segments, return_inverse=True)[1].reshape(side, side).astype(np.int32)
        number = np.bincount(segments.ravel())
        weights = np.bincount(segments.ravel(), (hot - 0.3).ravel()) / number
        weights += rng.normal(0, 0.05, len(weights))
        facts = {"superpixels": float(len(weights)), "r2": 0.81, "stability": 0.934}
        return weights[segments].astype(np.float32), segments, facts
    if name == "random_map":
        return rng.random((side, side), np.float32), None, {}
    if name == "score_cam":
        hot = np.where(away < 0.36, 3400.0 * hot, 0)  # zero without the cell
    return (
        hot.astype(np.float32) * np.float32(0.01234 / hot.max() if name == "grad_cam" else 1),
        (None),
        {},
    )


def judgement(told: Told) -> dict[str, Any]:
    """Return the content of `judgement.json`: Eigen-CAM fails both tests."""
    keys = ["deletion", "insertion", "average_drop", "increase"]
    regions = [f"{kind}_{part}" for kind in ("energy", "pointing", "iou")
               for part in ("nucleus", "cell")]  # fmt: skip
    methods = []
    for place, name in enumerate(told.methods):
        worth = 0.8 - 0.1 * place
        trusted = name not in told.untrusted
        scores = {
            key: _score(1 - worth if key in ("deletion", "average_drop") else worth) for key in keys
        }
        scores |= {key: _score(worth) if told.masks else None for key in regions}
        verdict = "better" if trusted else "not shown to differ"
        methods.append(
            {
                "name": name, "title": METHODS[name][0], "source": "", "settings": {},
                "seconds": 0.05 * (place + 1), "empty": 3 if name == "grad_cam" else 0,
                "scores": scores,
                "against_random": None if name == "random_map" else {
                    key: {"difference": _score(0.1), "p": 0.01, "p_holm": 0.02, "verdict": verdict}
                    for key in ("deletion", "insertion")
                },
                "sanity": None if name == "random_map" else {
                    "similarity_by_stage": [
                        {"stage": "head", "similarity": 0.7},
                        {"stage": "stem", "similarity": 0.1 if trusted else 0.91},
                    ],
                    "passed": trusted,
                },
                "trusted": trusted,
                "why": "because",
            }
        )  # fmt: skip
    return {
        "n": 40, "unit": "group", "units": 12, "resamples": 200, "level": 0.95,
        "masks": told.masks, "methods": methods,
        "regions": {
            "nucleus": {"images": 40, "area": _score(0.125)},
            "cell": {"images": 40, "area": _score(0.5)},
        } if told.masks else None,
        "left_out": [{"name": "layer_cam", "why": "No layer has spatial extent."}],
        "ranking_by": "insertion - deletion",
        "ranking": [
            {"name": n, "rank": i + 1.0, "low": max(1.0, i + 0.2), "high": i + 2.1}
            for i, n in enumerate(told.methods)
        ],
    }  # fmt: skip


def _score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}
