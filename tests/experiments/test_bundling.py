"""What a run adds to its bundle at its end, and what it says where it cannot."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from cytolens import run
from cytolens.bundle import load_bundle
from cytolens.bundle.card import read_bundle_card
from cytolens.bundle.config import BundleConfig
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.experiments.recipe import Recipe, load_recipe

ABNORMAL = 'bundle.abnormal=["HSIL","LSIL","SCC"]'


@pytest.fixture(scope="module")
def smears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 phantoms of 48 px of 20 patients: enough to fit on."""
    folder = tmp_path_factory.mktemp("data") / "smears"
    config = PhantomConfig(images=60, size=48, patients=20, class_separation=2.0)
    return write_phantoms(config, folder, workers=1).parent


@pytest.fixture
def make(smears: Path, tiny_toml: Path, tmp_path: Path, no_report: None, shared_cache: None) -> Any:
    """Return a maker of runs with settings."""
    del no_report, shared_cache

    def recipe_of(*settings: str) -> Recipe:
        return load_recipe(tiny_toml, settings)

    def made(*settings: str, data: Path = smears) -> Path:
        return run(recipe_of(*settings), data, tmp_path / "run")

    return made


def test_a_bundle_says_how_it_was_trained(make: Any) -> None:
    folder = make("training.regime=cost_sensitive", "expand.when=train", "expand.factor=2",
                  "augment.horizontal_flip=true", "seed=3")  # fmt: skip
    told = read_bundle_card(folder / "bundle").provenance
    fold = json.loads((folder / "split.json").read_text())["folds"][0]
    with (folder / "manifest.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert told["seed"] == 3 and str(folder.parent) not in json.dumps(told)
    assert set(told["settings"]) == {
        "data", "split", "features", "training", "expand", "augment", "cost",
    }  # fmt: skip
    recipe = load_recipe(folder / "recipe.toml")
    assert told["settings"]["training"]["epochs"] == recipe.training.epochs
    facts = json.loads((folder / "folds.json").read_text())[0]
    assert told["class_weights"] == facts["class_weights"] is not None
    for part, ids in (("train", fold["train"]), ("test", fold["test"])):
        found = told["parts"][part]
        assert found["images"] == len(ids) == sum(found["classes"].values())
        assert found["copies"] == sum(bool(rows[name]["parent"]) for name in ids)
        assert found["units"] == len({rows[name]["group"] for name in ids})
    assert told["parts"]["train"]["copies"] > 0 == told["parts"]["test"]["copies"]
    assert told["libraries"]["torch"] and told["libraries"]["python"].startswith("3.")


def _notes(folder: Path) -> list[str]:
    environment = json.loads((folder / "environment.json").read_text())
    return [note for note in environment["notes"] if note.startswith("bundle: ")]


@pytest.mark.usefixtures("exports")
def test_a_run_of_enough_images_knows_its_doubt(make: Any, smears: Path) -> None:
    folder = make(ABNORMAL, "bundle.version=2.1.0", "bundle.level=0.8")
    bundle = load_bundle(folder)
    card = bundle.card
    assert card.version == "2.1.0" and bundle.runtime_name == "openvino"
    assert set(card.files) >= {
        "model.safetensors", "model.onnx", "openvino.xml", "openvino.bin", "reference.safetensors",
    }  # fmt: skip
    assert card.metrics == json.loads((folder / "metrics.json").read_text())
    parts = (card.calibration, card.conformal, card.decision, card.ood, card.checks)
    assert all(part is not None for part in parts) and _notes(folder) == []
    assert card.calibration is not None and card.conformal is not None
    assert card.decision is not None and card.ood is not None and card.checks is not None
    assert card.conformal["level"] == 0.8 and card.conformal["n"] == 60
    assert card.conformal["results"]["n"] == 60
    assert card.decision["abnormal"] == ["HSIL", "LSIL", "SCC"]
    for part in (card.calibration, card.conformal, card.decision):
        assert "cross-fitted" in part["note"]
    fold = json.loads((folder / "split.json").read_text())["folds"][0]
    assert card.ood["training"] == card.checks["images"] == len(fold["train"])
    assert card.ood["held_out"] == len(fold["test"])

    rows = {row.id: row for row in read_manifest(smears).rows}
    found = list(bundle.predict_many([rows[name].image for name in fold["test"]]))
    assert all(p.level == 0.8 and p.classes_in_set for p in found)
    assert {p.decision for p in found} <= {"clear", "abnormal", "refer"}
    assert all(bool(p.reasons) == (p.decision == "refer") for p in found)
    accepted = sum(p.strangeness is not None and not p.strangeness.out for p in found)
    assert accepted / len(found) >= 0.95, "the limit was set on these"


@pytest.mark.usefixtures("exports")
def test_without_exports_and_abnormal_classes(make: Any) -> None:
    folder = make("bundle.exports=[]", "bundle.calibration=none")
    bundle = load_bundle(folder)
    assert {"model.safetensors", "reference.safetensors"} <= set(bundle.card.files)
    assert not {"model.onnx", "openvino.xml", "openvino.bin"} & set(bundle.card.files)
    assert bundle.runtime_name == "torch"
    assert bundle.card.decision is None and bundle.card.calibration is not None
    assert bundle.card.calibration["method"] == "none"
    assert bundle.predict(next((folder.parent / "run" / "samples").glob("*.png"))).label


def test_too_few_images_are_said(tiny_run: Path) -> None:
    card = read_bundle_card(tiny_run / "bundle")
    assert card.calibration is card.conformal is card.decision is card.ood is None
    notes = _notes(tiny_run)
    assert any("36" in note for note in notes)
    assert any("too few to tell own images from strange ones" in note for note in notes)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('bundle.abnormal=["HSIL","CIN3"]', "CIN3"),
        ('bundle.abnormal=["HSIL","LSIL","NILM","SCC"]', "abnormal"),
    ],
)
def test_wrong_abnormal_classes_are_refused_before_training(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, message: str
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("images were looked at")

    monkeypatch.setattr("cytolens.experiments.opening.scan_or_fail", never)
    with pytest.raises(InputError, match=message):
        make(setting)
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_be_exported_keeps_its_run(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of training are not lost for a form of the network that one can do without."""
    from cytolens.bundle import export

    def refuse(*_: Any) -> None:
        raise export.NotExportable("odd_net cannot be written as ONNX: no operator.")

    monkeypatch.setattr(export, "export_bundle", refuse)
    folder = make()
    assert load_bundle(folder).runtime_name == "torch"
    (note,) = _notes(folder)
    assert note.startswith("bundle: odd_net cannot be written as ONNX: no operator.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exports": ("tflite",)}, "bundle.exports names 'tflite'."),
        ({"version": "1.0"}, "bundle.version = '1.0' is no semantic version."),
        ({"version": "1.0.x"}, "is no semantic version."),
        ({"level": 1.0}, "bundle.level = 1.0."),
        ({"sensitivity": 0.0}, "bundle.sensitivity = 0.0."),
        ({"acceptance": 0.4}, "bundle.acceptance = 0.4."),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        BundleConfig(**settings)
    assert message in str(caught.value)
