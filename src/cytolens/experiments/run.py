"""From a recipe and a manifest to a finished run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import cytolens
from cytolens.bundle.save import BundleCard, attach_metrics, save_bundle
from cytolens.core.config import to_dict, to_toml
from cytolens.core.files import read_json, write_json, write_text, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, evaluate, pool
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.folder import Workplace, workplace
from cytolens.experiments.network import Network, weights_summary
from cytolens.experiments.predictions_file import write_predictions
from cytolens.experiments.preparation import Prepared, prepare, relabel
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.samples import write_samples
from cytolens.features.store import Store
from cytolens.features.table import FeatureTable, View
from cytolens.models.network import Trainable
from cytolens.report.run_report import write_run_report
from cytolens.splits.split import Fold
from cytolens.training.loop import FoldData, Trainer, device_for, predict
from cytolens.training.losses import check_loss


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
    out = out or Path("runs") / f"{recipe.name}-{manifest.name}"
    with workplace(out, overwrite=overwrite) as place:
        experiment = _begin(recipe, manifest, place, progress, clock)
        return experiment.conclude(experiment.run_folds())


def _begin(
    recipe: Recipe, manifest: Manifest, place: Workplace, progress: Progress, clock: Clock
) -> _Experiment:
    """Check everything that can be wrong before anything is computed."""
    with clock.stage("read and check"):
        manifest = relabel(manifest, recipe)
        check_loss(recipe.training, recipe.model.output, len(manifest.classes))
        network = Network(recipe, len(manifest.classes))
        with progress.task("looking at the images", len(manifest)) as step:
            facts = scan_or_fail(manifest, step=step)
        place.claim(_identity(recipe, manifest, facts, network.weights.identity))
        data = prepare(manifest, facts, recipe, place.path / "expanded", progress)
    for note in (network.weights.note, *data.split.notes):
        if note:
            progress.say(note)
    return _Experiment(recipe, data, network, Store(), place, progress, clock)


def _identity(recipe: Recipe, manifest: Manifest, facts: Facts, weights: str) -> dict[str, Any]:
    """Return what must be the same when a run that was cut off goes on."""
    images = [
        [sha, row.id, row.label, row.group, row.dataset, row.magnification, row.parent, row.extra]
        for row, sha in zip(manifest.rows, facts.sha256, strict=True)
    ]
    identity: dict[str, Any] = {"recipe": to_dict(recipe), "data": images, "weights": weights}
    if recipe.split.kind == "file":
        identity["split file"] = read_json(Path(recipe.split.file), "split file")
    return identity


@dataclass(frozen=True)
class _Experiment:
    recipe: Recipe
    data: Prepared
    network: Network
    store: Store
    place: Workplace
    progress: Progress
    clock: Clock

    def run_folds(self) -> Predictions:
        """Train and predict every fold that is not finished yet; return the pooled predictions."""
        folds = self.data.split.folds
        history: list[dict[str, Any]] = []
        parts: list[Predictions] = []
        for number, fold in enumerate(folds):
            done = self.place.load_fold(fold.repeat, fold.fold)
            if done is None:
                done = self._run_fold(fold, f"fold {number + 1} of {len(folds)}", number == 0)
            probabilities, lines = done
            history += lines
            parts.append(self._predictions(fold, probabilities))
        self.place.write_history(history)
        first = folds[0].repeat
        expected = {i for fold in folds if fold.repeat == first for i in fold.test}
        return pool(parts, expected=expected)

    def _run_fold(
        self, fold: Fold, name: str, keep: bool
    ) -> tuple[NDArray[np.float64], list[dict[str, Any]]]:
        rows = {p: fold.rows(p, self.data.manifest) for p in ("train", "validation", "test")}
        table = self._features(rows, name)
        with self.clock.stage("train"):
            model, backbone = self.network.trainable(table.shape, fold.repeat, fold.fold)
            data = FoldData(
                table,
                self.data.manifest.labels,
                rows["train"],
                rows["validation"],
                (fold.repeat, fold.fold),
            )
            with self.progress.task(f"training {name}", self.recipe.training.epochs) as step:
                trainer = Trainer(
                    model,
                    data,
                    self.recipe.training,
                    self.recipe.model.output,
                    self.recipe.seed,
                    self.place.fold_path(fold.repeat, fold.fold, ".checkpoint"),
                    lambda _: step(),
                )
                history = trainer.fit()
        with self.clock.stage("predict"):
            output = self.recipe.model.output
            views = self.network.test_views()
            probabilities = predict(model, table, rows["test"], views, output)
        if keep:
            self._save_bundle(self.network.state(model, backbone), model, fold)
        self.place.save_fold(fold.repeat, fold.fold, probabilities, history)
        return probabilities, history

    def _features(self, rows: dict[str, NDArray[np.int64]], name: str) -> FeatureTable:
        """Compute the frozen part of what a fold needs and is not in the store yet."""
        count = self.recipe.training.view_count
        wanted: dict[View, set[int]] = defaultdict(set)
        for part, views in (
            ("train", range(1, count + 1) if count else [0]),
            ("validation", [0]),
            ("test", self.network.test_views()),
        ):
            for view in views:
                wanted[view] |= set(rows[part].tolist())
        ordered = {view: sorted(some) for view, some in wanted.items()}
        with self.clock.stage("extract features"):
            table = self.network.table(self.data.manifest, self.data.facts, self.store)
            with self.progress.task(f"features, {name}", table.missing(ordered)) as step:
                table.prepare_views(ordered, step)
        return table

    def _predictions(self, fold: Fold, probabilities: NDArray[np.float64]) -> Predictions:
        rows = fold.rows("test", self.data.manifest)
        return Predictions(
            ids=list(fold.test),
            labels=self.data.manifest.labels[rows],
            probabilities=probabilities,
            classes=self.data.manifest.classes,
            folds=np.full(len(rows), fold.fold, dtype=np.int64),
            repeats=np.full(len(rows), fold.repeat, dtype=np.int64),
            units=[self.data.units.names[row] for row in rows.tolist()],
        )

    def _save_bundle(self, state: dict[str, torch.Tensor], model: Trainable, fold: Fold) -> None:
        """Keep the first fold's model (never the best one: that would look at the test part)."""
        network = self.network
        card = BundleCard(
            classes=self.data.manifest.classes,
            backbone=network.weights.backbone,
            card=network.weights.card,
            model=self.recipe.model,
            pixels=self.recipe.pixels,
            size=network.size,
            feature_shape=model.head_input,
            test_views=self.recipe.evaluation.test_views,
            provenance={
                "recipe": self.recipe.name,
                "protocol": self.recipe.protocol,
                "data": self.data.manifest.name,
                "images": len(self.data.manifest),
                "fold": fold.fold,
                "trained_on": len(fold.train),
                "validated_on": len(fold.validation),
                "tested_on": len(fold.test),
                "weights": weights_summary(network.weights),
                "cytolens": cytolens.__version__,
            },
        )
        save_bundle(self.place.path / "bundle", card, state)

    def conclude(self, predictions: Predictions) -> Path:
        """Score, write everything the run folder holds, and move it to its place."""
        path = self.place.path
        with self.clock.stage("evaluate"):
            metrics = evaluate(
                predictions,
                protocol=self.recipe.protocol,
                leaks=list(self.data.split.leaks),
                unit_name=self.data.units.kind,
                resamples=self.recipe.evaluation.resamples,
                seed=self.recipe.seed,
            )
        with writing(path, "the run"):
            write_json(path / "metrics.json", metrics)
            attach_metrics(path / "bundle", metrics)
            write_text(path / "recipe.toml", to_toml(self.recipe))
            self.data.manifest.write(path / "manifest.csv", with_ids=True)
            write_json(path / "audit.json", self.data.audit)
            self.data.split.write(path / "split.json")
            write_predictions(path / "predictions.parquet", predictions)
            samples = path / "samples"
            write_samples(samples, self.data.manifest, self.recipe, self.network.size)
            self._describe()
            with self.clock.stage("report"):
                write_run_report(path)
            self._describe()
        return self.place.finish()

    def _describe(self) -> None:
        notes = [n for n in (self.network.weights.note, *self.data.split.notes) if n]
        device = str(device_for())
        content = describe(self.clock, self.network.engine, device, notes)
        write_json(self.place.path / "environment.json", content)
