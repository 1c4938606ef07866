"""Writes a study folder as `cytolens reproduce` would, from fake runs and an invented paper."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fake_kinds import contrastive, predictions
from fake_run import CLASSES, Fake, write_fake_run, write_json
from PIL import Image

from cytolens.evaluation import compare
from cytolens.evaluation.difference import unpaired_difference
from cytolens.evaluation.predictions import Predictions
from cytolens.report.run_folder import read_run

LEAK = "312 test images have an augmented copy of themselves in the training part"
CAUTION = "The two test parts hold the classes in other shares."
WHY_NOT = "no ImageNet weights of it are reachable"
SUBSTITUTIONS = (
    "MobileNetV2 stands in for ResNet50V2, whose weights cannot be had here.",
    "The data are phantoms, not the Mendeley LBC set: its classes, not its cells.",
    "Width 256 and dropout 0.5 of the head are ours: the paper does not give them.",
)


@dataclass
class FakeStudy:
    """What the study holds. `skill` is how well each regime does; the published protocol adds."""

    models: tuple[str, ...] = ("MobileNetV2", "SqueezeNet1.1")
    not_run: tuple[str, ...] = ("ResNet50V2", "ResNet101V2")
    regimes: tuple[str, ...] = ("finetune",)
    protocols: tuple[str, ...] = ("published", "honest")
    classes: tuple[str, ...] = CLASSES
    ledger: bool = True
    reports: bool = False
    n: int = 90
    resamples: int = 200
    skills: dict[str, float] = field(
        default_factory=lambda: {"finetune": 1.9, "cost_sensitive": 2.0, "contrastive": 2.7}
    )


def write_fake_study(path: Path, fake: FakeStudy | None = None) -> Path:
    """Write the folder and return it."""
    fake = fake or FakeStudy()
    path.mkdir(parents=True, exist_ok=True)
    picture = path / "cell.png"
    Image.new("RGB", (16, 16), (196, 170, 205)).save(picture)
    cells: list[dict[str, Any]] = []
    sets: dict[str, dict[str, Predictions]] = {p: {} for p in fake.protocols}
    for protocol in fake.protocols:
        for index, model in enumerate((*fake.not_run, *fake.models)):
            for regime in fake.regimes:
                cell = _cell(fake, model, regime, protocol)
                if model not in fake.not_run:
                    run = _run(path, fake, cell, index, picture)
                    sets[protocol][cell["name"]] = predictions(run)
                    metrics = read_run(run).metrics
                    cell |= {"run": f"{protocol}/{cell['name']}", "metrics": metrics}
                cells.append(cell)
    write_json(path / "study.json", _study(fake, cells, sets))
    return path


def _cell(fake: FakeStudy, model: str, regime: str, protocol: str) -> dict[str, Any]:
    missing = model in fake.not_run
    stands_in = model == fake.models[0] and bool(fake.not_run)
    return {
        "name": f"{model.lower()}-{regime}",
        "model": model,
        "regime": regime,
        "backbone": {"MobileNetV2": "mobilenetv2_100", "SqueezeNet1.1": "squeezenet1_1"}.get(
            model, model.lower()
        ),
        "weights": "imagenet",
        "stands_in_for": fake.not_run[0] if stands_in else None,
        "protocol": protocol,
        "run": None,
        "why_not": WHY_NOT if missing else None,
        "metrics": None,
        "paper_accuracy": None,
        "seconds": None if missing else 12.5,
    }


def _run(path: Path, fake: FakeStudy, cell: dict[str, Any], index: int, picture: Path) -> Path:
    published = cell["protocol"] == "published"
    one = Fake(
        classes=fake.classes,
        n=fake.n,
        skill=fake.skills[cell["regime"]] + 0.15 * index + (1.3 if published else 0.0),
        protocol=cell["protocol"],
        leaks=(LEAK,) if published else (),
        samples=False,
        pictures={name: [picture] for name in fake.classes},
    )
    run = write_fake_run(path / cell["protocol"] / cell["name"], one)
    if cell["regime"] == "contrastive":
        contrastive(run)
    if fake.reports:
        (run / "report.html").write_text("<!doctype html><title>a run</title>")
    return run


def _study(
    fake: FakeStudy, cells: Sequence[dict[str, Any]], sets: dict[str, dict[str, Predictions]]
) -> dict[str, Any]:
    models = [*fake.not_run, *fake.models[1:]]
    honest = sets.get("honest", {})
    return {
        "paper": {
            "name": "wong2023",
            "title": "Web expert system for cervical cancer diagnosis (fake)",
            "task": "Four Bethesda classes from liquid-based cytology",
            "data": "Mendeley LBC, 963 images of 460 patients",
            "system": ["A frozen ResNet50V2 with a dense head, in a web expert system."],
            "published_protocol": [
                "Images are augmented to 2376 before they are split.",
                "Patients stand in both the training and the test part.",
            ],
            "comparison": [
                {"method": "Mask R-CNN", "classes": 2, "images": 178, "accuracy": 0.89},
                {"method": "Random forest", "classes": 7, "images": 917, "accuracy": 0.95},
            ],
        },
        "published": {
            "columns": ["model", "accuracy", "precision", "recall", "f1"],
            "rows": [_paper_row(fake, m, r, i) for i, m in enumerate(models) for r in fake.regimes],
            "tables": [
                {
                    "title": "Table I. Images",
                    "columns": ["Class", "Images"],
                    "rows": [["SCC", "74"]],
                }
            ],
        },
        "data": {
            "name": "phantom smears",
            "images": fake.n,
            "classes": {name: fake.n // len(fake.classes) for name in fake.classes},
            "groups": 36,
            "notes": ["Synthetic images: the numbers say nothing about real cells."],
        },
        "substitutions": list(SUBSTITUTIONS),
        "cells": list(cells),
        "gaps": _gaps(cells, sets),
        "comparisons": {
            protocol: compare(named, resamples=fake.resamples, unit_name="group")
            if len(named) > 1
            else None
            for protocol, named in sets.items()
        },
        "complexity": [
            {
                "model": model,
                "backbone": model.lower(),
                "parameters": round(2.2e6 * 1.9**i),
                "trained_parameters": 5124,
                "multiply_adds": round(3e8 * 2.1**i),
                "megabytes": 8.9 * 1.9**i,
                "milliseconds": 4.0 * 1.7**i,
                "accuracy": read["accuracy"],
                "engine": "openvino",
            }
            for i, model in enumerate(fake.models)
            if (read := _first(cells, model)) is not None
        ],
        "ledger": _ledger(fake) if fake.ledger else None,
        "features": {"computed": 720, "reused": 3 * 720 * max(1, len(honest))},
        "seconds": 143.2,
        "command": "cytolens reproduce wong2023 --data smears --protocol both",
        "cytolens": "0.1.0",
    }


def _first(cells: Sequence[dict[str, Any]], model: str) -> dict[str, Any] | None:
    found = [c for c in cells if c["model"] == model and c["metrics"]]
    return next((c["metrics"] for c in found if c["protocol"] == "honest"), None)


def _paper_row(fake: FakeStudy, model: str, regime: str, index: int) -> dict[str, Any]:
    scores = {"precision": 0.94, "recall": 0.97, "f1": 0.96}
    return {
        "model": model,
        "regime": regime,
        "accuracy": 0.97 - 0.01 * index,
        "per_class": dict.fromkeys(fake.classes, scores) if index == 0 else None,
        "other": {"loss": 0.1723} if index == 0 else {},
    }


def _gaps(
    cells: Sequence[dict[str, Any]], sets: dict[str, dict[str, Predictions]]
) -> list[dict[str, Any]]:
    found = []
    for cell in cells:
        name = cell["name"]
        if cell["protocol"] != "honest" or not all(name in sets.get(p, {}) for p in sets):
            continue
        if len(sets) < 2:
            continue
        gap = unpaired_difference(sets["honest"][name], sets["published"][name], resamples=200)
        score = {"value": gap.value, "low": gap.low, "high": gap.high}
        found.append(
            {
                "name": name,
                "model": cell["model"],
                "regime": cell["regime"],
                "gap": score,
                "published": None,
                "honest": cell["metrics"]["accuracy"],
                "paper_accuracy": None,
                "sentence": f"{name}: what the leak adds, in words.",
                "caution": CAUTION,
            }
        )
    return found


def _ledger(fake: FakeStudy) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    rows = []
    for i, (name, title, what) in enumerate(
        (
            ("grouped", "Grouped", "No patient on both sides of the split."),
            ("image", "By image", "Images of one patient on both sides."),
            ("near", "Near duplicates together", "Patients on both sides, duplicates not."),
            ("augmented", "Augmented before the split", "Copies of a test image in training."),
            ("early", "Test used for early stopping", "The epoch is chosen by the test part."),
            ("magnification", "Same patient, other magnification", "Train 100X, test 40X."),
        )
    ):
        value = 0.62 + 0.05 * i + float(rng.normal(0, 0.01))
        skipped = "the data name no magnification" if name == "magnification" else None
        score = {"value": value, "low": value - 0.03, "high": value + 0.03}
        auc = {"value": value + 0.1, "low": value + 0.08, "high": value + 0.12}
        more = {"value": value - 0.62, "low": value - 0.65, "high": value - 0.6}
        rows.append(
            {
                "name": name,
                "title": title,
                "what": what,
                "protocol": "honest" if i == 0 else "published",
                "leaks": [] if i == 0 else [what],
                "n": fake.n,
                "accuracy": None if skipped else score,
                "auc": None if skipped else auc,
                "reference": None,
                "inflation": None if i == 0 or skipped else {"accuracy": more, "auc": more},
                "run": None if skipped else name,
                "skipped": skipped,
            }
        )
    sentences = ["To augment before the split is worth 15.0 points on these data."]
    return {
        "data": "phantom smears", "recipe": "frozen", "n": fake.n, "classes": list(fake.classes),
        "unit": "group", "units": 36, "notes": [], "rows": rows, "sentences": sentences,
    }  # fmt: skip


def copy_study(study: Path, target: Path) -> Path:
    """Return a copy whose files may be changed, without figures and report."""
    shutil.copytree(study, target, ignore=shutil.ignore_patterns("figures", "report.html"))
    return target
