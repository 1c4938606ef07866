"""From a recipe and a manifest to a finished run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.save import attach_metrics
from cytolens.core.config import to_dict, to_toml
from cytolens.core.files import read_json, sha256_file, write_json, write_text, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, pool
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.folder import workplace
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Learner, Setting, Task
from cytolens.experiments.learning.numbers import sees_masks
from cytolens.experiments.predictions_file import write_predictions
from cytolens.experiments.preparation import prepare, relabel
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.samples import write_samples
from cytolens.experiments.scores import all_scores, subgroup_columns
from cytolens.features.store import Store
from cytolens.report.run_report import write_run_report
from cytolens.splits.split import Fold
from cytolens.training.cost.matrix import cost_matrix
from cytolens.training.loop import device_for

CHOSEN_ON_TEST = "the test part chose the epoch (training.choose_on)"


def run_recipe(
    recipe: Recipe,
    manifest: Manifest,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Run an experiment and return its folder, by default `runs/RECIPE-DATA`.

    A run that was cut off is resumed by the same call and ends with the same numbers.

    Raises:
        InputError: anything wrong with the data, the recipe or the place; nothing half-written
            stays under `out`.
        LeakError: the honest protocol and a split that leaks.
    """
    progress = progress or Silent()
    clock = Clock()
    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{manifest.name}"
    with workplace(out, overwrite=overwrite) as place:
        with clock.stage("read and check"):
            manifest = relabel(manifest, recipe)
            cost_matrix(recipe.cost, manifest.classes)  # wrong costs fail before the training
            learner = create_learner(recipe, manifest.classes)
            with progress.task("looking at the images", len(manifest)) as step:
                facts = scan_or_fail(manifest, step=step)
            place.claim(_identity(recipe, manifest, facts, learner.identity))
            data = prepare(manifest, facts, recipe, place.path / "expanded", progress)
        if recipe.training.choose_on == "test":
            leaks = (*data.split.leaks, CHOSEN_ON_TEST)
            data = replace(data, split=replace(data.split, leaks=leaks))
        for note in (*learner.notes, *data.split.notes):
            progress.say(note)
        experiment = _Experiment(learner, Setting(recipe, data, Store(), place, progress, clock))
        return experiment.conclude(experiment.run_folds())


def _identity(recipe: Recipe, manifest: Manifest, facts: Facts, learner: str) -> dict[str, Any]:
    """Return what must be the same when a run that was cut off goes on."""
    images = [
        [sha, row.id, row.label, row.group, row.dataset, row.magnification, row.parent, row.extra]
        for row, sha in zip(manifest.rows, facts.sha256, strict=True)
    ]
    identity: dict[str, Any] = {"recipe": to_dict(recipe), "data": images, "weights": learner}
    if recipe.split.kind == "file":
        identity["split file"] = read_json(Path(recipe.split.file), "split file")
    if sees_masks(recipe.classifier):
        identity["masks"] = [row.mask and sha256_file(row.mask) for row in manifest.rows]
    return identity


@dataclass(frozen=True)
class _Experiment:
    learner: Learner
    setting: Setting

    def run_folds(self) -> Predictions:
        """Learn and predict every fold that is not finished yet; return the pooled predictions."""
        place, folds = self.setting.place, self.setting.data.split.folds
        history: list[dict[str, Any]] = []
        facts: list[dict[str, Any]] = []
        parts: list[Predictions] = []
        for number, fold in enumerate(folds):
            learned = place.load_fold(fold.repeat, fold.fold)
            if learned is None:
                learned = self._learn(fold, f"fold {number + 1} of {len(folds)}", number == 0)
                place.save_fold(fold.repeat, fold.fold, learned)
            history += learned.history
            facts.append({"repeat": fold.repeat, "fold": fold.fold, **learned.facts})
            parts.append(self._predictions(fold, learned.probabilities))
        place.write_history(history)
        with writing(place.path, "the run"):
            write_json(place.path / "folds.json", facts)
        first = folds[0].repeat
        expected = {i for fold in folds if fold.repeat == first for i in fold.test}
        return pool(parts, expected=expected)

    def _learn(self, fold: Fold, name: str, keep: bool) -> Learned:
        manifest = self.setting.data.manifest
        rows = {p: fold.rows(p, manifest) for p in ("train", "validation", "test")}
        if self.setting.recipe.training.choose_on == "test":
            rows["validation"] = rows["test"]
        return self.learner.learn(Task(fold, rows, name, keep), self.setting)

    def _predictions(self, fold: Fold, probabilities: NDArray[np.float64]) -> Predictions:
        data = self.setting.data
        rows = fold.rows("test", data.manifest)
        return Predictions(
            ids=list(fold.test),
            labels=data.manifest.labels[rows],
            probabilities=probabilities,
            classes=data.manifest.classes,
            folds=np.full(len(rows), fold.fold, dtype=np.int64),
            repeats=np.full(len(rows), fold.repeat, dtype=np.int64),
            units=[data.units.names[row] for row in rows.tolist()],
        )

    def conclude(self, predictions: Predictions) -> Path:
        """Score, write everything the run folder holds, and move it to its place."""
        place, recipe, data = self.setting.place, self.setting.recipe, self.setting.data
        path, clock = place.path, self.setting.clock
        with clock.stage("evaluate"):
            metrics = all_scores(
                predictions,
                subgroup_columns(data.manifest),
                protocol=recipe.protocol,
                leaks=data.split.leaks,
                unit_name=data.units.kind,
                cost=recipe.cost,
                resamples=recipe.evaluation.resamples,
                seed=recipe.seed,
            )
        with writing(path, "the run"):
            write_json(path / "metrics.json", metrics)
            if self.learner.keeps_bundle:
                attach_metrics(path / "bundle", metrics)
            write_text(path / "recipe.toml", to_toml(recipe))
            data.manifest.write(path / "manifest.csv", with_ids=True)
            write_json(path / "audit.json", data.audit)
            data.split.write(path / "split.json")
            write_predictions(path / "predictions.parquet", predictions)
            write_samples(path / "samples", data.manifest, recipe, self.learner.size)
            self._describe()
            with clock.stage("report"):
                write_run_report(path)
            self._describe()
        return place.finish()

    def _describe(self) -> None:
        folds = read_json(self.setting.place.path / "folds.json", "facts of the folds")
        told = dict.fromkeys(note for fold in folds for note in fold.get("notes", []))
        notes = [*self.learner.notes, *self.setting.data.split.notes, *told]
        content = describe(self.setting.clock, self.learner.engine, str(device_for()), notes)
        write_json(self.setting.place.path / "environment.json", content)
