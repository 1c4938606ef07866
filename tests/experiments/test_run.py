"""A run makes exactly the folder that docs/architecture.md describes, and always the same one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from cytolens.data.loading import read_manifest
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.run import run_recipe
from cytolens.splits.split import read_split

FILES = {
    "recipe.toml",
    "environment.json",
    "manifest.csv",
    "audit.json",
    "split.json",
    "folds.json",
    "history.jsonl",
    "predictions.parquet",
    "metrics.json",
    "report.html",
}
FOLDERS = {"figures", "samples", "bundle"}
SCORES = (
    "accuracy balanced_accuracy macro_precision macro_recall macro_specificity macro_f1 "
    "weighted_f1 auc average_precision kappa quadratic_kappa mcc ece brier log_loss"
).split()


def _json(path: Path) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{path} holds {word}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_folder_holds_what_the_architecture_says_and_nothing_else(tiny_run: Path) -> None:
    inside = {path.name for path in tiny_run.iterdir()}
    assert inside == FILES | FOLDERS
    bundle = {p.name for p in (tiny_run / "bundle").iterdir()}
    assert bundle == {"bundle.json", "model.safetensors", "MODEL_CARD.md", "model_card.html"}
    figures = {p.name for p in (tiny_run / "figures").iterdir()}
    assert figures and all(
        {f"{Path(name).stem}.svg", f"{Path(name).stem}.png"} <= figures for name in figures
    )
    beside = {path.name for path in tiny_run.parent.iterdir()}
    assert beside == {"tiny", "cache"}, "no .partial, no .lock"


def test_the_metrics_have_the_contracts_keys(tiny_run: Path) -> None:
    metrics = _json(tiny_run / "metrics.json")
    assert set(metrics) == {
        *("protocol", "leaks", "n", "classes", "confusion", "interval"),
        *("per_class", "reliability", "cost", "subgroups"),
        *SCORES,
    }
    assert (metrics["protocol"], metrics["leaks"], metrics["n"]) == ("honest", [], 36)
    assert metrics["interval"] == {"level": 0.95, "unit": "group", "units": 12, "resamples": 20}
    assert np.sum(metrics["confusion"]) == 36
    for name in SCORES:
        assert set(metrics[name]) == {"value", "low", "high"}, name
    errors = 36 - np.trace(metrics["confusion"])
    assert metrics["cost"]["matrix"] == (1 - np.eye(4)).tolist(), "every error costs 1"
    assert metrics["cost"]["most_probable"]["total"] == errors
    assert metrics["cost"]["cheapest"] is None
    assert set(metrics["subgroups"]) == {"dataset"}
    sites = metrics["subgroups"]["dataset"]
    assert {name: site["n"] for name, site in sites.items()} == {"site_0": 24, "site_1": 12}
    for values in metrics["per_class"].values():
        assert {"support", "precision", "recall", "specificity", "f1", "auc"} <= set(values)


def test_every_image_is_tested_once_and_by_a_model_that_did_not_know_it(
    tiny_run: Path, phantoms: Path
) -> None:
    manifest = read_manifest(phantoms)
    table = pyarrow.parquet.read_table(tiny_run / "predictions.parquet")
    classes = [f"p_{name}" for name in manifest.classes]
    assert table.column_names == ["id", "label", *classes, "fold", "repeat", "unit"]
    rows = table.to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(manifest.ids)
    for row in rows:
        item = manifest.rows[manifest.index[row["id"]]]
        assert (row["label"], row["unit"], row["repeat"]) == (item.label, item.group, 0)
        assert math.isclose(sum(row[name] for name in classes), 1)
    split = read_split(tiny_run / "split.json", manifest)
    assert (split.unit, split.protocol, split.leaks) == ("group", "honest", ())
    for fold in split.folds:
        assert {r["id"] for r in rows if r["fold"] == fold.fold} == set(fold.test)
        group = {row.id: row.group for row in manifest.rows}
        known = {group[i] for i in (*fold.train, *fold.validation)}
        assert known.isdisjoint(group[i] for i in fold.test)
        assert {group[i] for i in fold.train}.isdisjoint(group[i] for i in fold.validation)


def test_the_history_has_a_line_an_epoch_and_fold(tiny_run: Path) -> None:
    lines = [json.loads(line) for line in (tiny_run / "history.jsonl").read_text().splitlines()]
    assert [(line["repeat"], line["fold"], line["epoch"]) for line in lines] == [
        (0, 0, 1),
        (0, 0, 2),
        (0, 1, 1),
        (0, 1, 2),
    ]
    assert set(lines[0]) == {
        *("fold", "repeat", "epoch", "lr", "seconds", "best"),
        *("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"),
    }


def test_the_environment_says_what_it_ran_on(tiny_run: Path) -> None:
    environment = _json(tiny_run / "environment.json")
    assert set(environment) == {
        *("cytolens", "python", "platform", "cores", "torch", "device", "engine"),
        *("packages", "command", "seconds", "notes"),
    }
    weights, fitted, usual, own = environment["notes"]
    assert weights == "random weights (seed 0): nothing is transferred"
    assert fitted == "bundle: Nothing was fitted: there are 36 images, fewer than 50."
    assert usual.startswith("bundle: ") and "too few to say what a usual image looks" in usual
    assert own.startswith("bundle: ") and "too few to tell own images from strange ones" in own
    stages = {"read and check", "extract features", "train", "predict", "evaluate", "report"}
    assert set(environment["seconds"]) == {*stages, "doubt", "bundle"}


def test_the_runs_manifest_can_be_read_again(tiny_run: Path, phantoms: Path) -> None:
    before, after = read_manifest(phantoms), read_manifest(tiny_run / "manifest.csv")
    assert [r.image.resolve() for r in after.rows] == [r.image.resolve() for r in before.rows]
    assert [r.label for r in after.rows] == [r.label for r in before.rows]
    assert [r.extra["id"] for r in after.rows] == list(before.ids)
    audit = _json(tiny_run / "audit.json")
    assert audit["images"] == 36 and audit["leaks"] == []


@pytest.mark.usefixtures("no_report")
def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    tiny_run: Path, tiny: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    again = run_recipe(tiny, manifest, tmp_path / "again")  # with an empty cache
    for name in ("metrics.json", "predictions.parquet", "split.json", "bundle/model.safetensors"):
        assert (again / name).read_bytes() == (tiny_run / name).read_bytes(), name
    other = run_recipe(replace(tiny, seed=1), manifest, tmp_path / "other")
    assert (other / "split.json").read_bytes() != (tiny_run / "split.json").read_bytes()


@pytest.mark.usefixtures("shared_cache")
def test_a_published_run_bears_its_leaks_everywhere(
    tiny: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    run = run_recipe(replace(tiny, protocol="published"), read_manifest(phantoms), tmp_path / "r")
    metrics = _json(run / "metrics.json")
    assert metrics["protocol"] == "published"
    assert any("groups on both sides of train and validation / test" in x for x in metrics["leaks"])
    assert metrics["interval"]["unit"] == "group", "intervals stay honest"
    for path in (run / "split.json", run / "bundle" / "bundle.json"):
        content = _json(path)
        assert content.get("leaks", content.get("metrics", {}).get("leaks")) == metrics["leaks"]
    assert "leak" in (run / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.usefixtures("no_report", "shared_cache")
def test_repeats_test_every_image_once_each(tiny: Recipe, phantoms: Path, tmp_path: Path) -> None:
    manifest = read_manifest(phantoms)
    recipe = replace(tiny, split=replace(tiny.split, repeats=2))
    run = run_recipe(recipe, manifest, tmp_path / "r")
    found = read_predictions(run / "predictions.parquet", manifest.classes)
    pairs = sorted(zip(found.repeats.tolist(), found.ids, strict=True))
    assert pairs == sorted((r, i) for r in (0, 1) for i in manifest.ids)
    metrics = _json(run / "metrics.json")
    assert metrics["n"] == 36 and np.sum(metrics["confusion"]) == 72
    hits = found.predicted == found.labels
    by_repeat = [hits[found.repeats == repeat].mean() for repeat in (0, 1)]
    assert math.isclose(metrics["accuracy"]["value"], np.mean(by_repeat))
    assert metrics["cost"]["most_probable"]["total"] == (~hits).sum() / 2
