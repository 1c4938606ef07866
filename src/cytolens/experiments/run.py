"""From a recipe and a manifest to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.config import to_toml
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json, write_text, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, pool
from cytolens.experiments.bundling import Finishing, finish_bundle
from cytolens.experiments.doubt import FILE as DOUBT
from cytolens.experiments.doubt import find_doubt, refuse_unknown
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.folder import Workplace, workplace
from cytolens.experiments.identity import Identity, of_run
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Learner, Setting, Task
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
    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{manifest.name}"
    with workplace(out, overwrite=overwrite) as place:
        experiment = _Experiment.open(recipe, manifest, place, progress)
        return experiment.conclude(experiment.run_folds())


def help_run(recipe: Recipe, manifest: Manifest, out: Path) -> None:
    """Learn folds of a run that another process is making, as long as some are free.

    The helper writes nothing but folds, from the last one backwards. What it cannot do is left to
    the other process, which says why.
    """
    try:
        experiment = _Experiment.join(recipe, manifest, Workplace(out))
        if experiment is not None:
            experiment.learn_folds(helping=True)
    except InputError:
        return


@dataclass(frozen=True)
class _Subject:
    """A recipe and its images, looked at but not prepared."""

    recipe: Recipe
    manifest: Manifest
    facts: Facts
    learner: Learner

    @property
    def identity(self) -> Identity:
        return of_run(self.recipe, self.manifest, self.facts, self.learner.identity)

    def prepare(self, place: Workplace, progress: Progress, clock: Clock) -> _Experiment:
        expanded = place.path / "expanded"
        data = prepare(self.manifest, self.facts, self.recipe, expanded, progress)
        if self.recipe.training.choose_on == "test":
            leaks = (*data.split.leaks, CHOSEN_ON_TEST)
            data = replace(data, split=replace(data.split, leaks=leaks))
        setting = Setting(self.recipe, data, Store(), place, progress, clock)
        return _Experiment(self.learner, setting)


def _look(recipe: Recipe, manifest: Manifest, progress: Progress) -> _Subject:
    """Refuse what is wrong with recipe, labels or images before anything is written."""
    manifest = relabel(manifest, recipe)
    cost_matrix(recipe.cost, manifest.classes)
    refuse_unknown(recipe.bundle, manifest.classes)
    learner = create_learner(recipe, manifest.classes)
    with progress.task("looking at the images", len(manifest)) as step:
        facts = scan_or_fail(manifest, step=step)
    return _Subject(recipe, manifest, facts, learner)


@dataclass(frozen=True)
class _Experiment:
    learner: Learner
    setting: Setting

    @classmethod
    def open(
        cls, recipe: Recipe, manifest: Manifest, place: Workplace, progress: Progress
    ) -> _Experiment:
        """Prepare a run in a place that is claimed for it."""
        clock = Clock()
        with clock.stage("read and check"):
            subject = _look(recipe, manifest, progress)
            place.claim(subject.identity)
            experiment = subject.prepare(place, progress, clock)
        place.share(experiment.setting.data.split)
        for note in (*experiment.learner.notes, *experiment.setting.data.split.notes):
            progress.say(note)
        return experiment

    @classmethod
    def join(cls, recipe: Recipe, manifest: Manifest, place: Workplace) -> _Experiment | None:
        """Prepare to help with a run that another process opened; None where it is not there."""
        subject = _look(recipe, manifest, Silent())
        if not place.is_of(subject.identity):
            return None
        return subject.prepare(place, Silent(), Clock())

    def learn_folds(self, *, helping: bool = False) -> None:
        """Learn every fold that is not finished yet and that no other process is learning.

        Args:
            helping: begin at the last fold and leave it at that; otherwise wait for the folds of
                helpers, and learn what they did not finish.
        """
        place, folds = self.setting.place, self.setting.data.split.folds
        numbered = list(enumerate(folds))
        if helping:
            numbered.reverse()
        for wait in (False,) if helping else (False, True):
            for number, fold in numbered:
                with place.taking(fold.repeat, fold.fold, wait=wait) as free:
                    if free:
                        name = f"fold {number + 1} of {len(folds)}"
                        learned = self._learn(fold, name, number == 0)
                        place.save_fold(fold.repeat, fold.fold, learned)

    def run_folds(self) -> Predictions:
        """Learn and predict every fold; return the pooled predictions."""
        place, folds = self.setting.place, self.setting.data.split.folds
        self.learn_folds()
        history: list[dict[str, Any]] = []
        facts: list[dict[str, Any]] = []
        parts: list[Predictions] = []
        for fold in folds:
            learned = place.load_fold(fold.repeat, fold.fold)
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
        with clock.stage("doubt"):
            resamples = recipe.evaluation.resamples
            doubt = find_doubt(predictions, recipe.bundle, resamples=resamples, seed=recipe.seed)
        notes = self._finish_bundle(predictions, metrics, doubt)
        with writing(path, "the run"):
            write_json(path / "metrics.json", metrics)
            if doubt is not None:
                write_json(path / DOUBT, doubt)
            write_text(path / "recipe.toml", to_toml(recipe))
            data.manifest.write(path / "manifest.csv", with_ids=True)
            write_json(path / "audit.json", data.audit)
            write_predictions(path / "predictions.parquet", predictions)
            write_samples(path / "samples", data.manifest, recipe, self.learner.size)
            self._describe(notes)
            with clock.stage("report"):
                write_run_report(path)
            self._describe(notes)
        return place.finish()

    def _finish_bundle(
        self, predictions: Predictions, metrics: dict[str, Any], doubt: dict[str, Any] | None
    ) -> list[str]:
        """Add to the bundle what can be known only now; return notes."""
        if not self.learner.keeps_bundle:
            return []
        recipe, data, bundle = (
            self.setting.recipe,
            self.setting.data,
            self.setting.place.path / "bundle",
        )
        with self.setting.clock.stage("bundle"):
            run = Finishing(
                bundle,
                recipe,
                data.manifest,
                data.split.folds[0],
                predictions,
                data.units.names,
                doubt,
            )
            return finish_bundle(run, metrics)

    def _describe(self, further: Sequence[str]) -> None:
        folds = read_json(self.setting.place.path / "folds.json", "facts of the folds")
        told = dict.fromkeys(note for fold in folds for note in fold.get("notes", []))
        notes = [*self.learner.notes, *self.setting.data.split.notes, *told, *further]
        content = describe(self.setting.clock, self.learner.engine, str(device_for()), notes)
        write_json(self.setting.place.path / "environment.json", content)
