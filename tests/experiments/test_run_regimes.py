"""Whole runs of the cost-sensitive and the contrastive regime: facts, notes, resuming."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bundle import load_bundle
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.learning import fitting
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import load_recipe
from cytolens.experiments.run import run_recipe
from cytolens.training import checkpoint, loop
from cytolens.training.contrastive import encoder

pytestmark = pytest.mark.usefixtures("shared_cache", "no_report")

BASE = (
    "features.engine=torch", "model.freeze=0.5", "augment.rotation=20.0", "training.views=2",
    "training.epochs=3", "evaluation.resamples=0",
)  # fmt: skip
COST = (*BASE, "training.regime=cost_sensitive", "cost.matrix=bethesda", "cost.decision=cheapest")
CONTRAST = (
    *BASE, "training.regime=contrastive", "contrastive.loss=npairs", "contrastive.epochs=2",
    "contrastive.batch=8",
)  # fmt: skip
Run = Callable[..., Path]


@pytest.fixture
def manifest(phantoms: Path) -> Manifest:
    return read_manifest(phantoms)


@pytest.fixture
def go(tiny_toml: Path, manifest: Manifest, tmp_path: Path) -> Run:
    def run(*settings: str, name: str = "run", images: Manifest | None = None) -> Path:
        return run_recipe(load_recipe(tiny_toml, settings), images or manifest, tmp_path / name)

    return run


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_a_cost_sensitive_run(go: Run, manifest: Manifest) -> None:
    run = go(*COST)
    split = _json(run / "split.json")
    labels = dict(zip(manifest.ids, (row.label for row in manifest.rows), strict=True))
    for facts, fold in zip(_json(run / "folds.json"), split["folds"], strict=True):
        train = [labels[i] for i in fold["train"]]
        expected = {c: len(train) / (4 * train.count(c)) for c in manifest.classes}
        assert facts["class_weights"] == pytest.approx(expected, rel=1e-6)
        assert facts["temperature"] > 0 and facts["contrastive"] is None
    assert not (run / "embedding.json").exists()
    assert all("stage" not in line for line in _history(run))
    assert _json(run / "metrics.json")["cost"]["cheapest"] is not None


def test_costs_change_what_is_learned(go: Run) -> None:
    plain = go(*BASE, name="plain")
    weighted = go(*BASE, "training.regime=cost_sensitive", name="cost")
    costly = go(*BASE, "training.regime=cost_sensitive", "cost.matrix=bethesda", name="matrix")
    losses = {_history(run)[0]["train_loss"] for run in (plain, weighted, costly)}
    assert len(losses) == 3


def test_a_temperature_changes_no_most_probable_class(go: Run, manifest: Manifest) -> None:
    """It is fitted on the validation part, and applied to the test probabilities."""
    before = read_predictions(go(*BASE, name="a") / "predictions.parquet", manifest.classes)
    run = go(*BASE, "cost.decision=cheapest", name="b")
    after = read_predictions(run / "predictions.parquet", manifest.classes)
    np.testing.assert_array_equal(before.predicted, after.predicted)
    for facts in _json(run / "folds.json"):
        rows = before.folds == facts["fold"]
        powers = before.probabilities[rows] ** (1 / facts["temperature"])
        expected = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(after.probabilities[rows], expected, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [("split.validation=0.0",), ("training.choose_on=test", "protocol=published")],
)
def test_without_a_part_to_calibrate_on_that_is_noted(go: Run, settings: tuple[str, ...]) -> None:
    run = go(*BASE, "cost.decision=cheapest", *settings)
    for facts in _json(run / "folds.json"):
        assert facts["temperature"] is None
        assert facts["notes"][0].startswith("uncalibrated: ")
    notes = _json(run / "environment.json")["notes"]
    assert [note.split(":")[0] for note in notes].count("uncalibrated") == 1


def test_a_class_missing_in_training(go: Run, manifest: Manifest) -> None:
    """Leaving out the only site that has a class: weight 0, a note, and no crash."""
    site = manifest.rows[0].dataset
    rows = [row for row in manifest.rows if row.label != "SCC" or row.dataset == site]
    run = go(*COST, "split.kind=lodo", "split.validation=0.0", images=manifest.with_rows(rows))
    facts = _json(run / "folds.json")
    missing = [f for f in facts if f["class_weights"]["SCC"] == 0]
    assert len(missing) == 1
    said = f"class SCC has no image in the training part of fold {missing[0]['fold']}"
    assert any(note.startswith(said) for note in missing[0]["notes"])
    assert any(said in note for note in _json(run / "environment.json")["notes"])


def test_a_contrastive_run(go: Run, manifest: Manifest) -> None:
    run = go(*CONTRAST)
    for facts in _json(run / "folds.json"):
        found = facts["contrastive"]
        assert (found["loss"], found["epochs"], found["pairless_batches"]) == ("npairs", 2, 0)
        assert found["batches"] >= 2 and found["views"] == 2
        assert facts["class_weights"] is None
    assert facts["features"]["reused"] > 0, "from the first fold"
    lines = _history(run)
    assert [(line["fold"], line["stage"], line["epoch"]) for line in lines] == [
        (fold, stage, epoch)
        for fold in (0, 1)
        for stage, epochs in (("encoder", 2), ("classifier", 3))
        for epoch in range(1, epochs + 1)
    ]
    assert all(line["validation_loss"] is None for line in lines if line["stage"] == "encoder")

    plot = _json(run / "embedding.json")
    test = _json(run / "split.json")["folds"][0]["test"]
    assert (plot["part"], plot["method"], plot["ids"]) == ("test", "t-SNE", list(test))
    assert plot["labels"] == [manifest.rows[manifest.index[i]].label for i in test]
    assert np.array(plot["xy"]).shape == (len(test), 2)

    bundle = load_bundle(run / "bundle")
    predictions = read_predictions(run / "predictions.parquet", manifest.classes)
    by_id = dict(zip(predictions.ids, predictions.probabilities, strict=True))
    found = list(bundle.predict_many(manifest.rows[manifest.index[i]].image for i in test))
    for image, prediction in zip(test, found, strict=True):
        chances = [prediction.probabilities[name] for name in manifest.classes]
        np.testing.assert_allclose(chances, by_id[image], atol=1e-4)


def test_one_view_is_noted(go: Run) -> None:
    run = go(*CONTRAST, "training.views=0")
    (note,) = _json(run / "folds.json")[0]["notes"]
    assert note == (
        "each image is seen in one view a batch: pairs come from its class alone "
        "(training.views = 0)"
    )


@pytest.mark.parametrize("stage", ["encoder", "classifier"])
def test_a_contrastive_run_that_was_cut_off(
    go: Run, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Killed in the second fold's encoder, or in its classifier: the same numbers at the end."""
    whole = go(*CONTRAST, name="whole")
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
    trainer = {"encoder": encoder.EncoderTrainer, "classifier": loop.Trainer}[stage]
    real, calls = trainer.epoch, []

    def cut(self: Any, number: int) -> None:
        if self.data.key == (0, 1) and number == 1 and not calls:
            calls.append(number)
            raise KeyboardInterrupt
        real(self, number)

    monkeypatch.setattr(trainer, "epoch", cut)
    with pytest.raises(KeyboardInterrupt):
        go(*CONTRAST)
    run = go(*CONTRAST)
    for name in ("metrics.json", "predictions.parquet", "embedding.json", "folds.json",
                 "bundle/model.safetensors"):  # fmt: skip
        if name == "folds.json":
            before, after = ([{**f, "features": 0} for f in _json(r / name)] for r in (whole, run))
            assert before == after
        else:
            assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    strip = [[{**line, "seconds": 0} for line in _history(r)] for r in (whole, run)]
    assert strip[0] == strip[1]


def test_every_regime_has_its_function() -> None:
    assert set(fitting.REGIMES) == {"finetune", "cost_sensitive", "contrastive"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            (*COST[:-2], "cost.class_weights={SCC = 2.0, LSIIL = 1.0}"),
            "LSIIL: no such class (did you mean 'LSIL'?)",
        ),
        ((*BASE, "cost.matrix={SCC = {NIML = 3}}"), "SCC.NIML: no such class (did you mean 'NILM'"),
        ((*BASE, "cost.matrix=binary"), "cannot tell which of"),
        (
            (*CONTRAST, "model.freeze=1.0"),
            "trains the backbone, but all of it is frozen",
        ),
    ],
)
def test_bad_input(go: Run, tmp_path: Path, settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as caught:
        go(*settings)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()
