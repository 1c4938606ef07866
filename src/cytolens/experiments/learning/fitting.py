"""The regimes: how the part of a network above the cut is trained on one fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.experiments.learning.learner import Setting, Task
from cytolens.features.table import View
from cytolens.models.network import Trainable
from cytolens.training.config import TrainingConfig
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss, fold_loss

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Fit:
    """One fold to train.

    Attributes:
        model: freshly built; trained in place.
        data: features and labels.
    """

    model: Trainable
    data: FoldData
    task: Task
    setting: Setting

    def loss(self) -> Loss:
        """Return the loss over the classes that the recipe asks for."""
        recipe, data = self.setting.recipe, self.data
        labels, classes = data.labels[data.train], self.setting.data.manifest.classes
        return fold_loss(recipe.training, recipe.cost, recipe.model.output, labels, classes)


@dataclass(frozen=True)
class Fitted:
    """What training gave.

    Attributes:
        history: lines of `history.jsonl`.
        facts: for `folds.json`.
        vectors: float32 [test images, …], what a contrastive encoder makes of them; of the fold
            that is kept alone.
    """

    history: History
    facts: dict[str, Any] = field(default_factory=dict)
    vectors: NDArray[np.float32] | None = None


def finetune(fit: Fit) -> Fitted:
    """Train upper part and head together by the loss over the classes."""
    return Fitted(_train_classes(fit, fit.loss(), "training"))


def cost_sensitive(fit: Fit) -> Fitted:
    """Train as `finetune`, with the weights and the costs of `[cost]`.

    A class without an image in the training part has weight 0 among balanced weights; that is
    noted.
    """
    loss = fit.loss()
    classes = fit.setting.data.manifest.classes
    history = _train_classes(fit, loss, "training")
    if loss.weights is None:
        return Fitted(history, {"class_weights": None})
    present = set(fit.data.labels[fit.data.train].tolist())
    notes = [
        f"class {name} has no image in the training part of fold {fit.task.fold.fold}: its "
        f"weight is {float(loss.weights[i]):g}"
        for i, name in enumerate(classes)
        if i not in present
    ]
    weights = dict(zip(classes, map(float, loss.weights), strict=True))
    return Fitted(history, {"class_weights": weights, "notes": notes})


def contrastive(fit: Fit) -> Fitted:
    """Train the encoder on pairs, freeze it, and train the head on what it makes of the images.

    The training part is embedded in every view once, in memory (contrastive2023, figure 2).
    """
    from cytolens.training.contrastive.embeddings import embed
    from cytolens.training.contrastive.encoder import EncoderTrainer, pair_of_views

    recipe, place, data = fit.setting.recipe, fit.setting.place, fit.data
    config = recipe.contrastive
    with fit.setting.progress.task(f"encoder, {fit.task.name}", config.epochs) as step:
        encoding = EncoderTrainer(
            fit.model,
            data,
            recipe.training,
            config,
            recipe.seed,
            place.fold_path(*data.key, ".encoder.checkpoint"),
            lambda _: step(),
        ).fit()
    wanted = {v: data.train.tolist() for v in training_views(recipe.training)}
    wanted[0] = sorted({*wanted.get(0, []), *data.validation.tolist()})
    if fit.task.keep:
        wanted[0] = sorted({*wanted[0], *fit.task.rows["test"].tolist()})
    embedded = embed(fit.model, data.table, len(data.labels), wanted)
    head = replace(fit, model=fit.model.without_upper(), data=replace(data, table=embedded))
    classifying = _train_classes(head, fit.loss(), "classifier,")
    count = len(pair_of_views(recipe.training, 0))
    facts = {
        "loss": config.loss,
        "epochs": len(encoding),
        "batches": sum(line["batches"] for line in encoding),
        "pairless_batches": sum(line["pairless_batches"] for line in encoding),
        "views": count,
    }
    notes = []
    if count == 1:
        notes.append(
            "each image is seen in one view a batch: pairs come from its class alone "
            f"(training.views = {recipe.training.views})"
        )
    lines = [{"stage": "classifier", **line} for line in classifying]
    vectors = embedded.gather(fit.task.rows["test"], 0) if fit.task.keep else None
    return Fitted([*encoding, *lines], {"contrastive": facts, "notes": notes}, vectors)


REGIMES: dict[str, Callable[[Fit], Fitted]] = {
    "finetune": finetune,
    "cost_sensitive": cost_sensitive,
    "contrastive": contrastive,
}


def training_views(config: TrainingConfig) -> list[View]:
    """Return the views that a training image is seen in."""
    return list(range(1, config.view_count + 1)) if config.view_count else [0]


def _train_classes(fit: Fit, loss: Loss, verb: str) -> History:
    recipe, place = fit.setting.recipe, fit.setting.place
    with fit.setting.progress.task(f"{verb} {fit.task.name}", recipe.training.epochs) as step:
        return Trainer(
            fit.model,
            fit.data,
            recipe.training,
            loss,
            recipe.seed,
            place.fold_path(*fit.data.key, ".checkpoint"),
            lambda _: step(),
            fit.setting.ranks,
        ).fit()
