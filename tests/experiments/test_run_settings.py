"""What a recipe can say of data, split, expansion and network, each in a run of its own."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bundle import load_bundle
from cytolens.core.errors import InputError, LeakError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import load_recipe
from cytolens.experiments.run import run_recipe

pytestmark = pytest.mark.usefixtures("no_report", "shared_cache")
Run = Callable[..., Path]
BINARY = ("NILM", "LSIL", "HSIL", "SCC")
MAP = [f"data.label_map.{name}={'normal' if name == 'NILM' else 'abnormal'}" for name in BINARY]


@pytest.fixture
def run(tiny_toml: Path, phantoms: Path, tmp_path: Path) -> Run:
    def run(settings: Sequence[str], manifest: Manifest | None = None) -> Path:
        recipe = load_recipe(tiny_toml, ["features.engine=torch", *settings])
        return run_recipe(recipe, manifest or read_manifest(phantoms), tmp_path / "run")

    return run


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _agrees_with_its_bundle(run: Path, manifest: Manifest) -> None:
    """The first fold's test images look the same to the bundle as they did to the run."""
    bundle = load_bundle(run)
    found = read_predictions(run / "predictions.parquet", bundle.classes)
    first = np.flatnonzero(found.folds == found.folds[0])
    files = [manifest.rows[manifest.index[found.ids[i]]].image for i in first]
    ours = [list(p.probabilities.values()) for p in bundle.predict_many(files)]
    np.testing.assert_allclose(ours, found.probabilities[first], atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        ["model.freeze=none", "training.lr=1e-4"],
        ["model.freeze=0.5", "model.batch_norm=train", "training.views=1", "augment.rotation=20.0"],
        ["model.freeze=0.5", "model.head=wong2023", "model.pool=none", "model.width=8"],
        ["model.freeze=all", "model.head=wong2023", "model.pool=max", "training.loss=mse"],
    ],
    ids=["whole", "half", "half-wong2023", "frozen-wong2023"],
)
def test_every_way_of_freezing_and_heads_fit_their_bundle(
    run: Run, phantoms: Path, settings: list[str]
) -> None:
    manifest = read_manifest(phantoms)
    folder = run(settings)
    assert _json(folder / "metrics.json")["n"] == 36
    _agrees_with_its_bundle(folder, manifest)


def test_one_sigmoid_unit_for_two_mapped_classes(run: Run, phantoms: Path) -> None:
    order = 'data.classes=["normal", "abnormal"]'
    binary = ["model.output=sigmoid", "training.loss=binary_cross_entropy"]
    folder = run([*MAP, order, *binary, "evaluation.test_views=['identity', 'hflip']"])
    metrics = _json(folder / "metrics.json")
    assert metrics["classes"] == ["normal", "abnormal"]
    assert [sum(row) for row in metrics["confusion"]] == [9, 27]
    assert load_bundle(folder).classes == ("normal", "abnormal")
    _agrees_with_its_bundle(folder, read_manifest(phantoms))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["model.output=sigmoid", "training.loss=binary_cross_entropy"],
            "A sigmoid output has two classes; the data has 4.",
        ),
        (
            [*MAP, "model.output=sigmoid"],
            "The loss cross_entropy does not fit the output sigmoid.",
        ),
        (
            MAP[:2],
            "The label mapping has no entry for some labels.\n  - HSIL\n  - SCC\n",
        ),
        (
            [*MAP, 'data.classes=["normal", "cancer"]'],
            "data.classes and the labels of the manifest differ.\n  - abnormal\n  - cancer\n",
        ),
        (
            [s.replace("normal", "cell").replace("abcell", "cell") for s in MAP],
            "phantoms has 1 class; two are needed.",
        ),
        (
            ["data.one_label_a_group=true"],
            "groups carry more than one label.\n  - patient_0",
        ),
        (["model.freeze=node:stages.9"], "The network has no node or module 'stages.9'"),
        (["model.head=liner"], "Unknown head 'liner' (did you mean 'linear'?)."),
        (["model.backbone=resnet5O"], "Unknown backbone 'resnet5O'"),
        (
            ["model.backbone=squeezenet1_1", "model.freeze=all", "pixels.size=16"],
            "squeezenet1_1 cannot take images of 16 x 16 pixels.",
        ),
        (
            ["model.backbone=squeezenet1_1", "model.freeze=none", "pixels.size=16"],
            "squeezenet1_1 cannot take images of 16 x 16 pixels.",
        ),
        (["features.engine=onnx"], "Unknown engine 'onnx'."),
        (["evaluation.test_views=['flip']"], "Unknown test-time view 'flip'"),
        (["split.folds=40"], "12 groups cannot be cut into 40 parts."),
        (["training.lr=3e37", "training.batch=100"], "loss became inf in epoch "),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(
    run: Run, tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        run(settings)
    assert message in str(caught.value)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"cache"}, "the corrected command starts afresh"


def test_images_can_be_left_out_by_their_label(run: Run) -> None:
    kept = [f"data.label_map.{name}={name}" for name in BINARY[:3]]
    metrics = _json(run([*kept, 'data.label_map.SCC=""']) / "metrics.json")
    assert metrics["classes"] == ["HSIL", "LSIL", "NILM"] and metrics["n"] == 27


TRAIN = ["expand.when=train", "expand.factor=2", "augment.horizontal_flip=true"]


def test_expansion_of_the_training_part_stays_there(run: Run, phantoms: Path) -> None:
    folder = run(TRAIN)
    with (folder / "manifest.csv").open() as table:
        rows = list(csv.DictReader(table))
    copies = {row["id"]: row for row in rows if row["parent"]}
    assert len(rows) == 72 and len(copies) == 36
    assert all((folder / row["image"]).is_file() for row in copies.values())
    own = {row["image"]: row["id"] for row in rows}
    ids = set(read_manifest(phantoms).ids)
    for fold in _json(folder / "split.json")["folds"]:
        assert set(fold["test"]) | set(fold["validation"]) <= ids
        children = set(fold["train"]) - ids
        parents = {own[copies[name]["parent"]] for name in children}
        assert parents == set(fold["train"]) & ids and len(children) == len(parents)
        assert len(fold["train"]) == len(set(fold["train"]))
    metrics = _json(folder / "metrics.json")
    assert metrics["n"] == 36 and metrics["leaks"] == []
    written = read_manifest(folder / "manifest.csv")
    assert len(written) == 72, "the run's own manifest is whole"


def test_expansion_leaves_copies_alone_that_the_manifest_brings(run: Run, phantoms: Path) -> None:
    """An image with a parent in the training part is not trained on twice, nor from the test."""
    manifest = read_manifest(phantoms)
    rows = list(manifest.rows)
    rows[1:2] = [replace(rows[1], parent=rows[0].id, label=rows[0].label, group=rows[0].group)]
    folder = run([*TRAIN, "protocol=published"], manifest.with_rows(rows))
    for fold in _json(folder / "split.json")["folds"]:
        everything = [*fold["train"], *fold["validation"], *fold["test"]]
        assert len(everything) == len(set(everything))


def test_expansion_before_the_split_is_recorded_as_a_leak(run: Run) -> None:
    folder = run([*TRAIN, "expand.when=before_split", "protocol=published"])
    metrics = _json(folder / "metrics.json")
    assert metrics["n"] == 72
    assert any("augmented siblings on both sides" in reason for reason in metrics["leaks"])


def test_targets_of_an_expansion(run: Run) -> None:
    settings = ["expand.when=train", "expand.targets.SCC=12", "augment.vertical_flip=true"]
    folder = run(settings)
    copies = list((folder / "expanded").rglob("*.png"))
    assert len(copies) == 3 and {p.parent.name for p in copies} == {"SCC"}


def test_leave_one_dataset_out(run: Run, phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    folder = run(["split.kind=lodo", "split.validation=0.0"], manifest)
    found = read_predictions(folder / "predictions.parquet", manifest.classes)
    site = {row.id: row.dataset for row in manifest.rows}
    assert {(f, site[i]) for f, i in zip(found.folds.tolist(), found.ids, strict=True)} == {
        (0, "site_0"),
        (1, "site_1"),
    }


@pytest.mark.parametrize("protocol", ["honest", "published"])
def test_by_attribute(run: Run, phantoms: Path, protocol: str) -> None:
    manifest = read_manifest(phantoms)
    rows = [replace(r, magnification=("40x", "100x")[i % 2]) for i, r in enumerate(manifest.rows)]
    settings = [
        "split.kind=attribute",
        "split.validation=0.0",
        'split.test_values=["100x"]',
        f"protocol={protocol}",
    ]
    folder = run(settings, manifest.with_rows(rows))
    power = {row.id: row.magnification for row in rows}
    for fold in _json(folder / "split.json")["folds"]:
        assert {power[i] for i in fold["test"]} == {"100x"}
        assert {power[i] for i in (*fold["train"], *fold["validation"])} == {"40x"}
    metrics = _json(folder / "metrics.json")
    assert metrics["n"] == 18 and bool(metrics["leaks"]) == (protocol == "published")


def test_a_split_file_wins_and_one_that_leaks_is_refused(
    run: Run, phantoms: Path, tmp_path: Path
) -> None:
    ids = read_manifest(phantoms).ids
    path = tmp_path / "split.json"
    parts = {"fold": 0, "repeat": 0, "train": ids[::2], "validation": [], "test": ids[1::2]}
    whole = {"version": 1, "kind": "holdout", "unit": "image", "seed": 0, "protocol": "honest"}
    path.write_text(json.dumps(whole | {"folds": [parts]}))
    settings = ["split.kind=file", f"split.file={path}"]
    with pytest.raises(LeakError, match="The split leaks: training would know test images"):
        run(settings)
    assert not (tmp_path / "run.partial").exists()
    folder = run([*settings, "protocol=published"])
    [fold] = _json(folder / "split.json")["folds"]
    assert fold["test"] == list(ids[1::2])
    line = json.loads((folder / "history.jsonl").read_text().splitlines()[0])
    assert line["validation_loss"] is None and math.isfinite(line["train_loss"])
