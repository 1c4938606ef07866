"""Writes a run folder as the pipeline would, from synthetic predictions: for the report's tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cytolens.evaluation.evaluate import evaluate
from cytolens.evaluation.predictions import Predictions

CLASSES = ("NILM", "LSIL", "HSIL", "SCC")
RECIPE = """\
name = "phantom-cervix"
protocol = "{protocol}"
seed = 0

[data]
name = "phantom"

[split]
kind = "kfold"
folds = 3
group = "group"

[model]
backbone = "mobilenetv2_100"
weights = "auto"
freeze = "all"

[preprocess]
height = 224
width = 224
steps = ["denoise", "clahe"]

[augment]
views = 8
policy = "flips and turns"

[training]
epochs = 12
batch = 32
optimizer = "adam"
learning_rate = 0.001
"""


@dataclass
class Fake:
    """What the run holds. `images` may be files to use instead of painted ones, by class."""

    classes: tuple[str, ...] = CLASSES
    n: int = 120
    folds: int = 3
    skill: float = 2.4
    protocol: str = "honest"
    leaks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    samples: bool = True
    seed: int = 7
    folder: str = "images"
    pictures: dict[str, list[Path]] = field(default_factory=dict)


def write_fake_run(path: Path, fake: Fake | None = None) -> Path:
    """Write the folder and return it."""
    fake = fake or Fake()
    path.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(fake.seed)
    weights = np.linspace(2.0, 1.0, len(fake.classes))
    labels = np.sort(rng.choice(len(fake.classes), fake.n, p=weights / weights.sum()))
    labels[: len(fake.classes)] = np.arange(len(fake.classes))
    groups = [f"patient-{label}-{i % 9:02d}" for i, label in enumerate(labels)]
    ids = [f"{fake.folder}/{fake.classes[y]}/{i:03d}.png" for i, y in enumerate(labels)]
    images = _images(path, ids, labels, fake, rng)
    names = {group: i for i, group in enumerate(sorted(set(groups)))}
    folds = np.array([names[group] % fake.folds for group in groups])
    probabilities = _probabilities(labels, fake, rng)
    _manifest(path / "manifest.csv", images, labels, groups, fake)
    _predictions(path / "predictions.parquet", ids, labels, probabilities, folds, groups, fake)
    _history(path / "history.jsonl", fake, rng)
    predictions = Predictions(
        ids, labels, probabilities, fake.classes, folds, np.zeros(fake.n, np.int64), groups
    )
    unit = "group"
    metrics = evaluate(
        predictions, protocol=fake.protocol, leaks=fake.leaks, unit_name=unit, resamples=100
    )
    write_json(path / "metrics.json", metrics)
    write_json(path / "split.json", _split(ids, folds, fake))
    write_json(path / "audit.json", _audit(ids, labels, groups, fake))
    write_json(path / "environment.json", _environment(fake))
    (path / "recipe.toml").write_text(RECIPE.format(protocol=fake.protocol))
    if fake.samples:
        _samples(path / "samples", path, images, labels, fake)
    return path


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False))


def edit_json(path: Path, **changes: Any) -> dict[str, Any]:
    """Change top-level keys of a JSON file and return its new content."""
    content: dict[str, Any] = json.loads(path.read_text()) | changes
    write_json(path, content)
    return content


def _probabilities(
    labels: NDArray[np.int64], fake: Fake, rng: np.random.Generator
) -> NDArray[np.float64]:
    logits = rng.normal(0.0, 1.0, (fake.n, len(fake.classes)))
    logits[np.arange(fake.n), labels] += fake.skill
    neighbour = np.minimum(labels + 1, len(fake.classes) - 1)
    logits[np.arange(fake.n), neighbour] += 0.7
    grown = np.exp(1.3 * logits)
    return np.asarray(grown / grown.sum(axis=1, keepdims=True), np.float64)


def _images(
    path: Path, ids: list[str], labels: NDArray[np.int64], fake: Fake, rng: np.random.Generator
) -> list[str]:
    """Paint a cell an image, or point at given pictures; return the manifest's paths."""
    written = []
    for i, (name, label) in enumerate(zip(ids, labels, strict=True)):
        if given := fake.pictures.get(fake.classes[label]):
            written.append(str(given[i % len(given)]))
            continue
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        _cell(int(label), rng).save(file)
        written.append(name)
    return written


def _cell(label: int, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (64, 64), (236, 230, 236))
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(24, 40, 2).tolist()
    nucleus = 5 + 3 * label
    pen.ellipse((x - 22, y - 20, x + 22, y + 20), fill=(196, 170, 205))
    pen.ellipse((x - nucleus, y - nucleus, x + nucleus, y + nucleus), fill=(84, 60, 120))
    return image


def _manifest(
    path: Path, images: list[str], labels: NDArray[np.int64], groups: list[str], fake: Fake
) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target, lineterminator="\n")
        table.writerow(["image", "label", "group", "id"])
        for i, (image, label, group) in enumerate(zip(images, labels, groups, strict=True)):
            name = f"{fake.folder}/{fake.classes[label]}/{i:03d}.png"
            table.writerow([image, fake.classes[label], group, name])


def _predictions(
    path: Path,
    ids: list[str],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    folds: NDArray[np.int64],
    groups: list[str],
    fake: Fake,
) -> None:
    columns: dict[str, Any] = {"id": ids, "label": [fake.classes[y] for y in labels]}
    columns |= {f"p_{name}": probabilities[:, i] for i, name in enumerate(fake.classes)}
    columns |= {"fold": folds, "repeat": np.zeros(fake.n, np.int64), "unit": groups}
    pq.write_table(pa.table(columns), path)


def _history(path: Path, fake: Fake, rng: np.random.Generator) -> None:
    lines = []
    for fold in range(fake.folds):
        best = 0.0
        for epoch in range(10 + fold):
            done = 1 - float(np.exp(-(epoch + 1) / 4))
            accuracy = 0.3 + 0.55 * done + float(rng.normal(0, 0.015))
            line = {
                "fold": fold, "repeat": 0, "epoch": epoch, "lr": 1e-3, "seconds": 0.4,
                "train_loss": 1.4 - 1.1 * done, "train_accuracy": 0.3 + 0.65 * done,
                "validation_loss": 1.4 - 0.85 * done + 0.012 * epoch,
                "validation_accuracy": accuracy, "best": accuracy > best,
            }  # fmt: skip
            best = max(best, accuracy)
            lines.append(json.dumps(line))
    path.write_text("\n".join(lines) + "\n")


def _split(ids: list[str], folds: NDArray[np.int64], fake: Fake) -> dict[str, Any]:
    parts = []
    for fold in range(fake.folds):
        held = (fold + 1) % fake.folds
        parts.append(
            {
                "fold": fold,
                "repeat": 0,
                "train": [
                    name for name, f in zip(ids, folds, strict=True) if f not in (fold, held)
                ],
                "validation": [name for name, f in zip(ids, folds, strict=True) if f == held],
                "test": [name for name, f in zip(ids, folds, strict=True) if f == fold],
            }
        )
    return {
        "version": 1, "kind": "grouped stratified k-fold", "unit": "group", "seed": 0,
        "protocol": fake.protocol, "leaks": list(fake.leaks), "folds": parts,
    }  # fmt: skip


def _audit(
    ids: list[str], labels: NDArray[np.int64], groups: list[str], fake: Fake
) -> dict[str, Any]:
    counts = {name: int((labels == i).sum()) for i, name in enumerate(fake.classes)}
    return {
        "name": "phantom",
        "images": fake.n,
        "classes": counts,
        "imbalance": max(counts.values()) / min(counts.values()),
        "groups": {
            "present": True, "count": len(set(groups)), "largest": 6, "mixed_labels": []
        },
        "sizes": {
            "min": [64, 64], "max": [64, 64], "median": [64, 64], "mode": [64, 64],
            "histogram": {"width_edges": [63, 65], "height_edges": [63, 65], "counts": [[fake.n]]},
            "recommended": {"height": 64, "width": 64, "why": "all images have this size"},
        },
        "problems": {f"{fake.folder}/broken.png": "is truncated or damaged"},
        "duplicates": {
            "exact": [[ids[0], ids[1]]],
            "near": [[ids[2], ids[3], 0.991], [ids[5], ids[8], 0.974]],
            "across_labels": [],
            "across_groups": [[ids[5], ids[8], 0.974]],
        },
        "siblings": [{"rows": [ids[2], ids[3]], "how": "parent column"}],
        "artefacts": [{"class": fake.classes[0], "region": [0.8, 0.9, 1.0, 1.0], "share": 0.62}],
        "leaks": [],
        "warnings": ["1 near duplicate joins two patients: check whether they are the same one."],
    }  # fmt: skip


def _environment(fake: Fake) -> dict[str, Any]:
    return {
        "cytolens": "0.1.0", "python": "3.11.7", "platform": "Linux x86_64", "cores": 2,
        "torch": "2.15.0", "device": "cpu", "engine": "openvino f32",
        "packages": {"numpy": "2.3.1", "timm": "1.0.20", "openvino": "2025.3"},
        "command": "cytolens run phantom-cervix --out runs/phantom",
        "seconds": {"audit": 1.2, "features": 9.4, "training": 21.7, "evaluation": 0.6},
        "notes": list(fake.notes),
    }  # fmt: skip


def _samples(
    folder: Path, run: Path, images: list[str], labels: NDArray[np.int64], fake: Fake
) -> None:
    folder.mkdir(exist_ok=True)
    index = []
    for k, i in enumerate(range(0, fake.n, max(1, fake.n // 4))):
        with Image.open(run / images[i]) as source:
            base = source.convert("RGB").resize((112, 112))
        base.save(folder / f"input_{k}.png")
        views = []
        for v in range(1, 4):
            views.append(f"view_{k}_{v}.png")
            base.rotate(90 * v).save(folder / views[-1])
        label = fake.classes[labels[i]]
        index.append({"id": images[i], "label": label, "input": f"input_{k}.png", "views": views})
    write_json(folder / "index.json", index)
