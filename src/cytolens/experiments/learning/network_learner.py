"""Train the part of a network above the cut on stored features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.experiments.learning.calibrating import (
    Calibrated,
    calibrate,
    may_calibrate,
    needs_calibration,
    uncalibrated,
)
from cytolens.experiments.learning.embedding_map import write_embedding
from cytolens.experiments.learning.fitting import REGIMES, Fit, Fitted, training_views
from cytolens.experiments.learning.frozen import DeepFrozen, Frozen
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.learning.network_bundle import write_bundle
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe
from cytolens.features.table import FeatureTable, View
from cytolens.models.network import Trainable
from cytolens.training.cost.weights import check_class_names
from cytolens.training.loop import FoldData, predict
from cytolens.training.losses import check_loss


class NetworkLearner:
    """Trains a network a fold.

    Args:
        recipe: the experiment.
        classes: names in the order of the columns.

    Raises:
        InputError: a backbone, weights, a loss or class weights that cannot be had.
    """

    keeps_bundle = True

    def __init__(self, recipe: Recipe, classes: Sequence[str]) -> None:
        check_loss(recipe.training, recipe.model.output, len(classes))
        if isinstance(recipe.cost.class_weights, dict):
            check_class_names(recipe.cost.class_weights, classes)
        self.recipe = recipe
        self.network = Network(recipe, len(classes))
        self.identity = self.network.weights.identity
        self.engine = self.network.engine
        self.size = self.network.size
        note = self.network.weights.note
        self.notes: tuple[str, ...] = (note,) if note else ()

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen:
        wanted: dict[View, set[int]] = defaultdict(set)
        for task in tasks:
            for view, rows in self._wanted(task.rows).items():
                wanted[view] |= set(rows)
        table = self.network.table(setting.data.manifest, setting.data.facts, setting.store)
        return DeepFrozen(self.network, table, {v: sorted(some) for v, some in wanted.items()})

    def learn(self, task: Task, setting: Setting) -> Learned:
        """Train on the fold's training part and predict its test part."""
        table = self._features(task, setting)
        key = (task.fold.repeat, task.fold.fold)
        with setting.clock.stage("train"):
            model, backbone = self.network.trainable(table.shape, *key)
            labels = setting.data.manifest.labels
            data = FoldData(table, labels, task.rows["train"], task.rows["validation"], key)
            fitted = REGIMES[self.recipe.training.regime](Fit(model, data, task, setting))
        if fitted.vectors is not None:
            with setting.clock.stage("embedding plot"):
                write_embedding(fitted.vectors, task, setting)
        with setting.clock.stage("predict"):
            predicted = self._predict(model, data, task)
        if task.keep:
            state = self.network.state(model, backbone)
            write_bundle(self.network, state, model, task, setting, fitted.facts)
        return Learned(
            predicted.probabilities, fitted.history, self._facts(fitted, predicted, table)
        )

    def _predict(self, model: Trainable, data: FoldData, task: Task) -> Calibrated:
        """Predict the test part, calibrated where decisions ask for it."""
        views, output = self.network.test_views(), self.recipe.model.output
        test = predict(model, data.table, task.rows["test"], views, output)
        if not needs_calibration(self.recipe):
            return Calibrated(test, None)
        rows = task.rows["validation"]
        if not may_calibrate(self.recipe, rows):
            return uncalibrated(test)
        validation = predict(model, data.table, rows, views, output)
        return calibrate(test, validation, data.labels[rows])

    def _facts(self, fitted: Fitted, predicted: Calibrated, table: FeatureTable) -> dict[str, Any]:
        facts: dict[str, Any] = {"class_weights": None, "contrastive": None, **fitted.facts}
        facts["temperature"] = predicted.temperature
        facts["features"] = {"computed": table.computed, "reused": table.reused}
        facts["notes"] = [*fitted.facts.get("notes", []), *predicted.notes]
        return facts

    def _features(self, task: Task, setting: Setting) -> FeatureTable:
        """Compute the frozen part of what a fold needs and is not in the store yet."""
        wanted = self._wanted(task.rows)
        with setting.clock.stage("extract features"):
            table = self.network.table(setting.data.manifest, setting.data.facts, setting.store)
            with setting.progress.task(f"features, {task.name}", table.missing(wanted)) as step:
                table.prepare_views(wanted, step)
        return table

    def _wanted(self, rows: dict[str, NDArray[np.int64]]) -> dict[View, list[int]]:
        """Return the rows of each view that training and prediction look at."""
        test_views = self.network.test_views()
        looked_at: list[tuple[str, Sequence[View]]] = [
            ("train", training_views(self.recipe.training)),
            ("validation", [0]),
            ("test", test_views),
        ]
        if may_calibrate(self.recipe, rows["validation"]):
            looked_at.append(("validation", test_views))
        if self.recipe.training.regime == "contrastive":
            looked_at.append(("test", [0]))  # for the plot of its embeddings
        wanted: dict[View, set[int]] = defaultdict(set)
        for part, views in looked_at:
            for view in views:
                wanted[view] |= set(rows[part].tolist())
        return {view: sorted(some) for view, some in wanted.items()}
