"""Turns a fake run into one of another kind, as its learner and the evaluation would write it."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from fake_run import edit_json, write_json

from cytolens.evaluation.costs import cost_report
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.subgroups import subgroup_scores
from cytolens.report.run_folder import read_run


def set_recipe(run: Path, **tables: dict[str, Any]) -> None:
    """Change keys in tables of the recipe."""
    content = tomllib.loads((run / "recipe.toml").read_text())
    for table, keys in tables.items():
        content[table] = content.get(table, {}) | keys
    (run / "recipe.toml").write_text(tomli_w.dumps(content))


def write_folds(run: Path, facts: Sequence[dict[str, Any]]) -> None:
    write_json(run / "folds.json", [{"repeat": 0, "fold": i, **f} for i, f in enumerate(facts)])


def predictions(run: Path) -> Predictions:
    found = read_run(run)
    assert found.scored is not None
    scored = found.scored
    units = [found.index.value(name, "group") or name for name in scored.ids]
    return Predictions(
        scored.ids, scored.labels, scored.probabilities, tuple(found.classes),
        scored.folds, scored.repeats, units,
    )  # fmt: skip


def cost_sensitive(run: Path, temperatures: Sequence[float | None]) -> Path:
    """Costs that grow with the distance between grades, a cheapest decision and class weights."""
    names = read_run(run).classes
    k = len(names)
    matrix = np.array(
        [[4.0 * (i - j) if j < i else 1.0 * (j - i) for j in range(k)] for i in range(k)]
    )
    cost = cost_report(predictions(run), matrix, "cheapest", resamples=50)
    edit_json(run / "metrics.json", cost=cost)
    weights = [{n: 0.5 + 0.3 * i + 0.01 * f for i, n in enumerate(names)} for f in range(3)]
    write_folds(
        run,
        [
            {
                "class_weights": w,
                "temperature": t,
                "contrastive": None,
                "features": {"computed": 120 if i == 0 else 0, "reused": 0 if i == 0 else 120},
            }
            for i, (w, t) in enumerate(zip(weights, temperatures, strict=True))
        ],
    )
    set_recipe(
        run,
        training={"regime": "cost_sensitive", "loss": "cross_entropy"},
        cost={
            "class_weights": "balanced",
            "matrix": "bethesda",
            "loss_weight": 0.5,
            "decision": "cheapest",
        },
    )
    return run


def contrastive(run: Path, pairless: int = 0, seed: int = 0) -> Path:
    """An encoder's lines before each fold's own in the history, and the test part in the plane."""
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    written = []
    for fold in range(3):
        for epoch in range(1, 7):
            line = {
                "fold": fold, "repeat": 0, "stage": "encoder", "epoch": epoch, "lr": 1e-3,
                "seconds": 0.5, "train_loss": 3.2 * float(np.exp(-epoch / 3)) + 0.1 * fold,
                "train_accuracy": None, "validation_loss": None, "validation_accuracy": None,
                "best": False,
            }  # fmt: skip
            written.append(line)
        written += [line | {"stage": "classifier"} for line in lines if line["fold"] == fold]
    (run / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))
    found = read_run(run)
    assert found.scored is not None
    mine = found.scored.folds == 0
    labels = found.scored.labels[mine]
    angle = labels * 2 * np.pi / len(found.classes)
    centres = 12 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    xy = centres + np.random.default_rng(seed).normal(0, 3, centres.shape)
    content = {
        "part": "test",
        "ids": [name for name, m in zip(found.scored.ids, mine, strict=True) if m],
        "labels": [found.classes[y] for y in labels],
        "method": "t-SNE",
        "xy": xy.tolist(),
    }
    write_json(run / "embedding.json", content)
    fact = {"loss": "npairs", "batches": 400, "pairless_batches": pairless, "epochs": 6, "views": 2}
    write_folds(
        run,
        [
            {
                "contrastive": fact,
                "class_weights": None,
                "temperature": None,
                "features": {"computed": 240, "reused": 960},
            }
            for _ in range(3)
        ],
    )
    set_recipe(
        run,
        training={"regime": "contrastive", "loss": "cross_entropy"},
        contrastive={"loss": "npairs", "epochs": 6},
    )
    return run


def classical(run: Path, kind: str = "svm_rbf", features: str = "handcrafted") -> Path:
    """A classifier on features of the images: no history, no bundle, no network."""
    (run / "history.jsonl").write_text("")
    facts: dict[str, Any] = {"classifier": kind, "features": {"computed": 0, "reused": 120}}
    if features == "handcrafted":
        facts |= {
            "groups": ["glcm", "lbp", "colour", "shape"],
            "parts_from": "built-in segmentation",
            "without_nucleus": 3,
            "temperature": 0.4,
        }
    write_folds(run, [facts] * 3)
    set_recipe(run, classifier={"kind": kind, "features": features})
    return run


def fused(run: Path) -> Path:
    """The mean of two runs: no history, folds, samples or bundle, and a recipe that cannot run."""
    (run / "history.jsonl").unlink()
    content = {
        "name": "mean of 2 runs",
        "fusion": {"method": "mean", "members": ["first", "second"]},
    }
    (run / "recipe.toml").write_text(tomli_w.dumps(content))
    return run


def with_subgroups(run: Path, *, lodo: bool) -> Path:
    """Two data sets and three magnifications; `lodo` splits by data set."""
    with (run / "manifest.csv").open() as source:
        rows = list(csv.DictReader(source))
    for i, row in enumerate(rows):
        row["dataset"] = "Hospital A" if i // 3 % 2 else "Hospital B"
        row["magnification"] = ("40X", "100X", "400X")[i // 6 % 3]
    with (run / "manifest.csv").open("w", newline="") as target:
        table = csv.DictWriter(target, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    columns = {c: {row["id"]: row[c] for row in rows} for c in ("dataset", "magnification")}
    edit_json(
        run / "metrics.json", subgroups=subgroup_scores(predictions(run), columns, resamples=50)
    )
    if lodo:
        names = sorted(set(columns["dataset"].values()))
        parts = [
            {
                "fold": i,
                "repeat": 0,
                "train": [n for n, v in columns["dataset"].items() if v != name],
                "validation": [],
                "test": [n for n, v in columns["dataset"].items() if v == name],
            }
            for i, name in enumerate(names)
        ]
        edit_json(run / "split.json", kind="lodo", folds=parts)
    return run
