"""From a recipe and a manifest to a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.config import to_toml
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json, write_text, writing
from cytolens.core.profile import profiling
from cytolens.core.progress import Progress, Silent
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions
from cytolens.experiments.bundling import Finishing, finish_bundle
from cytolens.experiments.cluster.devices import learn_together
from cytolens.experiments.cluster.folds import learn_on
from cytolens.experiments.cluster.where import HERE, Where
from cytolens.experiments.doubt import FILE as DOUBT
from cytolens.experiments.doubt import find_doubt
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.fold_work import FoldWork
from cytolens.experiments.folder import Workplace, workplace
from cytolens.experiments.opening import look
from cytolens.experiments.predictions_file import write_predictions
from cytolens.experiments.profiled import drop_profile, write_profile
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.samples import write_samples
from cytolens.experiments.scores import all_scores, subgroup_columns
from cytolens.report.run_report import write_run_report
from cytolens.training.loop import device_for


def run_recipe(
    recipe: Recipe,
    manifest: Manifest,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    where: Where = HERE,
    profiled: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Run an experiment and return its folder, by default `runs/RECIPE-DATA`.

    A run that was cut off is resumed by the same call and ends with the same numbers.

    Args:
        where: learn the folds on a cluster, after the features were computed there, or each fold
            on several devices of this machine.
        profiled: write `profile.json`, and a section of the report, on where the time went.

    Raises:
        InputError: anything wrong with the data, the recipe or the place; nothing half-written
            stays under `out`.
        LeakError: the honest protocol and a split that leaks.
    """
    progress = progress or Silent()
    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{manifest.name}"
    with workplace(out, overwrite=overwrite) as place, profiling(profiled):
        work = _open(recipe, manifest, place, progress)
        notes = []
        if where.is_cluster:
            notes = learn_on(where, work)
        elif where.devices > 1:
            notes = learn_together(where.devices, work)
        return _Run(work).conclude(work.run_folds(), notes)


def help_run(recipe: Recipe, manifest: Manifest, out: Path) -> None:
    """Learn folds of a run that another process is making, as long as some are free.

    The helper writes nothing but folds, from the last one backwards. What it cannot do is left to
    the other process, which says why.
    """
    try:
        place = Workplace(out)
        subject = look(recipe, manifest, Silent())
        if place.is_of(subject.identity):
            subject.prepare(place, Silent(), Clock()).learn_folds(helping=True)
    except InputError:
        return


def _open(recipe: Recipe, manifest: Manifest, place: Workplace, progress: Progress) -> FoldWork:
    """Prepare a run in a place that is claimed for it."""
    clock = Clock()
    with clock.stage("read and check"):
        subject = look(recipe, manifest, progress)
        place.claim(subject.identity)
        work = subject.prepare(place, progress, clock)
    place.share(work.setting.data.split)
    for note in (*work.learner.notes, *work.setting.data.split.notes):
        progress.say(note)
    return work


@dataclass(frozen=True)
class _Run:
    """A run whose folds are learned."""

    work: FoldWork

    def conclude(self, predictions: Predictions, notes: Sequence[str] = ()) -> Path:
        """Score, write everything the run folder holds, and move it to its place.

        Args:
            notes: for `environment.json`, beside those of the learner, the split and the folds.
        """
        setting = self.work.setting
        place, recipe, data, clock = setting.place, setting.recipe, setting.data, setting.clock
        path = place.path
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
        notes = [*notes, *self._finish_bundle(predictions, metrics, doubt)]
        with writing(path, "the run"):
            write_json(path / "metrics.json", metrics)
            if doubt is not None:
                write_json(path / DOUBT, doubt)
            write_text(path / "recipe.toml", to_toml(recipe))
            data.manifest.write(path / "manifest.csv", with_ids=True)
            write_json(path / "audit.json", data.audit)
            write_predictions(path / "predictions.parquet", predictions)
            write_samples(path / "samples", data.manifest, recipe, self.work.learner.size)
            self._describe(notes)
            drop_profile(path)
            with clock.stage("report"):
                write_run_report(path)
            if write_profile(path):
                write_run_report(path, reuse=True)  # now with the section on itself
            self._describe(notes)
        return place.finish()

    def _finish_bundle(
        self, predictions: Predictions, metrics: dict[str, Any], doubt: dict[str, Any] | None
    ) -> list[str]:
        """Add to the bundle what can be known only now; return notes."""
        if not self.work.learner.keeps_bundle:
            return []
        setting, data = self.work.setting, self.work.setting.data
        with setting.clock.stage("bundle"):
            run = Finishing(
                setting.place.path / "bundle",
                setting.recipe,
                data.manifest,
                data.split.folds[0],
                predictions,
                data.units.names,
                doubt,
            )
            return finish_bundle(run, metrics)

    def _describe(self, further: Sequence[str]) -> None:
        setting, learner = self.work.setting, self.work.learner
        folds = read_json(setting.place.path / "folds.json", "facts of the folds")
        told = dict.fromkeys(note for fold in folds for note in fold.get("notes", []))
        notes = [*learner.notes, *setting.data.split.notes, *told, *further]
        content = describe(setting.clock, learner.engine, str(device_for()), notes)
        write_json(setting.place.path / "environment.json", content)
