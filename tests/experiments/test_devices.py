"""A run whose folds are learned by two processes together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.experiments.cluster import devices
from cytolens.experiments.cluster.executor import TaskLost
from cytolens.experiments.cluster.local import LocalProcesses
from cytolens.experiments.cluster.where import Where
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.run import run_recipe

pytestmark = [
    pytest.mark.usefixtures("no_report"),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core"),
]
TWO = Where(devices=2)
SETTINGS = [
    "model.backbone=cytolens_tiny",
    "model.weights=random",
    "model.dropout=0",
    "pixels.size=32",
    "augment.horizontal_flip=true",
    "split.folds=2",
    "split.validation=0.2",
    "training.views=2",
    "training.epochs=3",
    "evaluation.resamples=20",
]


@pytest.fixture
def recipe(own_cache: Path) -> Recipe:
    del own_cache
    return load_recipe("finetune", SETTINGS)


def test_two_processes_make_the_run_of_one(recipe: Recipe, phantoms: Path, tmp_path: Path) -> None:
    manifest = read_manifest(phantoms)
    alone = run_recipe(recipe, manifest, tmp_path / "alone")
    both = run_recipe(recipe, manifest, tmp_path / "both", where=TWO, profiled=True)
    one, two = (
        read_predictions(run / "predictions.parquet", manifest.classes) for run in (alone, both)
    )
    assert one.ids == two.ids
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-3)
    assert (alone / "split.json").read_bytes() == (both / "split.json").read_bytes()
    lines = [
        [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        for run in (alone, both)
    ]
    for mine, theirs in zip(*lines, strict=True):
        assert theirs["train_loss"] == pytest.approx(mine["train_loss"], rel=1e-3)
        assert theirs["epoch"] == mine["epoch"]
    assert (both / "bundle" / "bundle.json").exists()
    notes = read_json(both / "environment.json", "environment")["notes"]
    assert any("2 processes of this machine together" in note for note in notes)
    assert read_json(both / "profile.json", "profile")["elsewhere"]["tasks"] == 2


def test_what_a_fold_stumbles_over_ends_all_of_them(
    recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    wrong = replace(recipe, training=replace(recipe.training, lr=1e38))
    with pytest.raises(InputError, match="loss became (nan|inf) in epoch 1"):
        run_recipe(wrong, manifest, tmp_path / "far", where=TWO)
    assert not (tmp_path / "far").exists()
    one = replace(recipe, training=replace(recipe.training, batch=1))
    with pytest.raises(InputError, match="2 devices cannot share batches of 1"):
        run_recipe(one, manifest, tmp_path / "far", where=TWO)


def _leave(*_: object) -> None:
    os._exit(9)


def test_a_lost_process_is_said_and_the_same_call_goes_on(
    recipe: Recipe, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(phantoms)
    with monkeypatch.context() as patch, pytest.raises(TaskLost, match="ended from outside"):
        patch.setattr(devices, "_learn_as", _leave)
        run_recipe(recipe, manifest, tmp_path / "both", where=TWO)
    assert run_recipe(recipe, manifest, tmp_path / "both", where=TWO) == tmp_path / "both"


def _stumble(meeting: Path, first: bool) -> None:
    if first:
        raise InputError("The disk is full.")
    while not meeting.exists():
        time.sleep(0.01)
    raise RuntimeError("Connection closed by peer")


@pytest.mark.parametrize("told_first", [True, False])
def test_why_one_failed_is_said_whoever_ends_first(tmp_path: Path, told_first: bool) -> None:
    """The process that lost its partner may be heard of before the one that knows why."""
    meeting = tmp_path / "met"
    meeting.touch()
    with pytest.raises(InputError, match="The disk is full"), LocalProcesses(2) as executor:
        tickets = [executor.submit(_stumble, meeting, first) for first in (True, False)]
        devices._result(executor, tickets[0 if told_first else 1], set(tickets))


def test_what_cannot_be_shared_is_refused_before_it_starts(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    contrastive = load_recipe("contrastive2023/mobilenetv2-contrastive")
    with pytest.raises(InputError, match="The contrastive regime is not trained on several"):
        devices.check(2, contrastive)
    with pytest.raises(InputError, match=r"This machine has \d+ cores, not 4096"):
        devices.check(4096, recipe)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"This machine has 1 GPUs, not 2"):
        devices.check(2, recipe)
    with pytest.raises(InputError, match="devices must be at least 1"):
        Where(devices=0)
    with pytest.raises(InputError, match="--devices has no effect with --engine ray"):
        Where("ray", devices=2)


def _torchrun(count: int, out: Path, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    made = [f"--nproc-per-node={count}", "-m", "cytolens.cli.main", "run", "finetune"]
    where = ["--data", str(data), "--out", str(out)]
    settings = [part for one in SETTINGS for part in ("--set", one)]
    return subprocess.run(
        [*program, *made, *where, *settings, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )


def test_torchrun_starts_the_processes_of_a_run(
    recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    alone = run_recipe(recipe, read_manifest(phantoms), tmp_path / "alone")
    ended = _torchrun(2, tmp_path / "both", phantoms)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("accuracy  ") == 2, "the first process alone shows the scores"
    classes = read_manifest(phantoms).classes
    one, two = (
        read_predictions(run / "predictions.parquet", classes) for run in (alone, tmp_path / "both")
    )
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-3)
    notes = read_json(tmp_path / "both" / "environment.json", "environment")["notes"]
    assert any("2 processes started by torchrun together" in note for note in notes)
    refused = _torchrun(2, tmp_path / "more", phantoms, "--devices", "2")
    assert refused.returncode != 0 and "torchrun starts the devices of a run" in refused.stderr
