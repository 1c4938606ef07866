"""A run whose folds are learned by several processes: each once, with the same numbers."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.learning.network_learner import NetworkLearner
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.run import help_run, run_recipe

FOLDS = 4
LEARN = NetworkLearner.learn
TRACING = threading.Lock()  # torch.fx knows one thread; real helpers are processes


@pytest.fixture
def recipe(own_cache: Path) -> Recipe:
    del own_cache
    settings = [
        "model.backbone=cytolens_tiny",
        "model.weights=random",
        "pixels.size=32",
        "split.kind=kfold",
        f"split.folds={FOLDS}",
        "training.epochs=2",
        "evaluation.resamples=20",
    ]
    return load_recipe("frozen", settings)


def test_two_share_the_folds_and_the_numbers_stay(
    recipe: Recipe, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(phantoms)
    alone = run_recipe(recipe, manifest, tmp_path / "alone")
    by: dict[int, str] = {}
    begun, helped = threading.Event(), threading.Event()

    def learn(self: NetworkLearner, task: Task, setting: Setting) -> Learned:
        name = threading.current_thread().name
        assert task.fold.fold not in by, "each fold once"
        by[task.fold.fold] = name
        if name == "maker":
            begun.set()
            assert helped.wait(300), "the helper takes a fold while the maker is at the first"
        else:
            helped.set()
        with TRACING:
            return LEARN(self, task, setting)

    monkeypatch.setattr(NetworkLearner, "learn", learn)
    out = tmp_path / "shared"
    maker = threading.Thread(target=run_recipe, args=(recipe, manifest, out), name="maker")
    maker.start()
    assert begun.wait(300)
    help_run(recipe, manifest, out)
    maker.join(300)
    assert by[0] == "maker" and by[FOLDS - 1] != "maker" and len(by) == FOLDS
    first, second = (
        read_predictions(run / "predictions.parquet", manifest.classes) for run in (alone, out)
    )
    assert first.ids == second.ids
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert [fold["fold"] for fold in read_json(out / "folds.json", "folds")] == [0, 1, 2, 3]
    assert {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}


def test_what_a_helper_could_not_finish_the_maker_learns(
    recipe: Recipe, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(phantoms)
    begun, failed = threading.Event(), threading.Event()

    def learn(self: NetworkLearner, task: Task, setting: Setting) -> Learned:
        if threading.current_thread().name != "maker":
            raise InputError("The helper has no memory left.")
        if task.fold.fold == 0:
            begun.set()
            assert failed.wait(300)
        with TRACING:
            return LEARN(self, task, setting)

    monkeypatch.setattr(NetworkLearner, "learn", learn)
    out = tmp_path / "run"
    maker = threading.Thread(target=run_recipe, args=(recipe, manifest, out), name="maker")
    maker.start()
    assert begun.wait(300)
    help_run(recipe, manifest, out)
    failed.set()
    maker.join(300)
    assert read_json(out / "metrics.json", "metrics")["n"] == len(manifest)


def test_where_there_is_no_run_a_helper_leaves_no_trace(
    recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    help_run(recipe, read_manifest(phantoms), tmp_path / "nothing")
    assert list(tmp_path.glob("nothing*")) == []
