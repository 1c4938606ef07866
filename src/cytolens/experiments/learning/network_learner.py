"""Train the part of a network above the cut on stored features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

import cytolens
from cytolens.bundle.save import BundleCard, save_bundle
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.network import Network, weights_summary
from cytolens.experiments.recipe import Recipe
from cytolens.features.table import FeatureTable, View
from cytolens.models.network import Trainable
from cytolens.training.loop import FoldData, Trainer, predict
from cytolens.training.losses import check_loss


class NetworkLearner:
    """Trains a network a fold.

    Args:
        recipe: the experiment.
        classes: names in the order of the columns.

    Raises:
        InputError: a backbone, weights or a loss that cannot be had.
    """

    keeps_bundle = True

    def __init__(self, recipe: Recipe, classes: Sequence[str]) -> None:
        check_loss(recipe.training, recipe.model.output, len(classes))
        self.recipe = recipe
        self.network = Network(recipe, len(classes))
        self.identity = self.network.weights.identity
        self.engine = self.network.engine
        self.size = self.network.size
        note = self.network.weights.note
        self.notes: tuple[str, ...] = (note,) if note else ()

    def learn(self, task: Task, setting: Setting) -> Learned:
        """Train on the fold's training part and predict its test part."""
        table = self._features(task, setting)
        key = (task.fold.repeat, task.fold.fold)
        with setting.clock.stage("train"):
            model, backbone = self.network.trainable(table.shape, *key)
            data = FoldData(
                table,
                setting.data.manifest.labels,
                task.rows["train"],
                task.rows["validation"],
                key,
            )
            epochs = self.recipe.training.epochs
            with setting.progress.task(f"training {task.name}", epochs) as step:
                trainer = Trainer(
                    model,
                    data,
                    self.recipe.training,
                    self.recipe.model.output,
                    self.recipe.seed,
                    setting.place.fold_path(*key, ".checkpoint"),
                    lambda _: step(),
                )
                history = trainer.fit()
        with setting.clock.stage("predict"):
            views = self.network.test_views()
            output = self.recipe.model.output
            probabilities = predict(model, table, task.rows["test"], views, output)
        if task.keep:
            self._save_bundle(self.network.state(model, backbone), model, task, setting)
        facts = {"features": {"computed": table.computed, "reused": table.reused}}
        return Learned(probabilities, history, facts)

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
        count = self.recipe.training.view_count
        wanted: dict[View, set[int]] = defaultdict(set)
        for part, views in (
            ("train", range(1, count + 1) if count else [0]),
            ("validation", [0]),
            ("test", self.network.test_views()),
        ):
            for view in views:
                wanted[view] |= set(rows[part].tolist())
        return {view: sorted(some) for view, some in wanted.items()}

    def _save_bundle(
        self, state: dict[str, torch.Tensor], model: Trainable, task: Task, setting: Setting
    ) -> None:
        """Keep the first fold's model (never the best one: that would look at the test part)."""
        network, manifest, fold = self.network, setting.data.manifest, task.fold
        card = BundleCard(
            classes=manifest.classes,
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
                "data": manifest.name,
                "images": len(manifest),
                "fold": fold.fold,
                "trained_on": len(fold.train),
                "validated_on": len(fold.validation),
                "tested_on": len(fold.test),
                "weights": weights_summary(network.weights),
                "cytolens": cytolens.__version__,
            },
        )
        save_bundle(setting.place.path / "bundle", card, state)
