"""A grid as in a study: folds × regimes × networks, features computed once for all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cytolens.bench.experiment import Experiment, prepare
from cytolens.bench.measure import Line, Took, in_turns, time_line
from cytolens.bench.pictures import write_pictures
from cytolens.bench.suite import SUITES, Options
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.features.table import View
from cytolens.training.contrastive.embeddings import embed
from cytolens.training.contrastive.encoder import EncoderTrainer
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss, fold_loss

_NETWORKS = ("mobilenetv2_100", "resnetv2_50")
_TITLES = {"mobilenetv2_100": "MobileNetV2", "resnetv2_50": "ResNetV2-50"}
_REGIMES: dict[str, tuple[str, ...]] = {
    "finetune": (),
    "cost_sensitive": ("training.regime=cost_sensitive",),
    "contrastive": ("training.regime=contrastive", "training.backbone_lr=1.0"),
}
_OTHER = "plain torch, the whole network every epoch"


@dataclass(frozen=True)
class Sizes:
    """Images, side in pixels, networks, regimes, folds, epochs, views, repeats."""

    images: int
    side: int
    backbones: tuple[str, ...]
    regimes: tuple[str, ...]
    folds: int
    epochs: int
    views: int
    repeats: int


FULL = Sizes(40, 96, _NETWORKS, tuple(_REGIMES), folds=5, epochs=6, views=4, repeats=1)
QUICK = Sizes(30, 96, _NETWORKS[:1], tuple(_REGIMES), folds=2, epochs=4, views=2, repeats=1)


def grid(options: Options) -> list[Line]:
    """A grid of folds, regimes and networks, extraction counted: ours against plain torch."""
    sizes = QUICK if options.quick else FULL
    files = write_pictures(options.folder / "files", sizes.images, sizes.side)
    labels = [i % 2 for i in range(sizes.images)]
    lines = []
    for backbone in sizes.backbones:
        options.say(f"  {_TITLES.get(backbone, backbone)}, {sizes.images} images")
        place = options.folder / backbone
        place.mkdir()
        recipes = {regime: _recipe(backbone, regime, sizes) for regime in sizes.regimes}
        one = prepare(recipes["finetune"], files, labels, place, 1, options.device)
        ways: dict[str, Callable[[], object]] = {
            "ours": _ours(one, recipes, sizes.folds),
            _OTHER: _plain(one, sizes),
        }
        times = in_turns(ways, sizes.repeats, warm=0)
        what = f"{_TITLES.get(backbone, backbone)}: {sizes.folds} folds × {len(recipes)} regimes"
        note = (
            f"{sizes.images} images, {sizes.epochs} epochs, {sizes.views} views, 75 % of the "
            "layers frozen; plain: one epoch of fine-tuning on one fold's images, its time "
            "multiplied by epochs, folds and regimes (the contrastive one counts twice: it sees an "
            "image in two views; its second stage is not counted)"
        )
        lines.append(time_line(what, times, _OTHER, note=note))
    return lines


SUITES.register("grid", grid)


def _recipe(backbone: str, regime: str, sizes: Sizes) -> Recipe:
    settings = [
        f"model.backbone={backbone}",
        "model.weights=random",
        "model.batch_norm=frozen",
        "model.freeze=0.75",
        f"pixels.size={sizes.side}",
        f"training.epochs={sizes.epochs}",
        f"training.views={sizes.views}",
        "training.warmup=0",
    ]
    if regime == "contrastive":
        settings.append(f"contrastive.epochs={sizes.epochs}")
    return load_recipe("finetune", [*settings, *_REGIMES[regime]])


def _parts(count: int, folds: int) -> list[NDArray[np.int64]]:
    """Return the training rows of each fold; classes take turns, so pairs of rows stay together."""
    rows = np.arange(count)
    return [rows[rows // 2 % folds != fold] for fold in range(folds)]


def _ours(one: Experiment, recipes: dict[str, Recipe], folds: int) -> Callable[[], object]:
    def work() -> Took:
        started = time.perf_counter()
        spent = one.extraction()
        started = time.perf_counter()
        for regime, recipe in recipes.items():
            for number, rows in enumerate(_parts(len(one.labels), folds)):
                _learn(
                    one,
                    regime,
                    recipe,
                    FoldData(one.table, one.labels, rows, rows[:0], (0, number)),
                )
        return Took(spent + time.perf_counter() - started)

    return work


def _learn(one: Experiment, regime: str, recipe: Recipe, data: FoldData) -> None:
    """Train one fold by a regime, as `experiments.learning.fitting` does."""
    model, _ = one.network.trainable(one.table.shape, *data.key)
    training, labels = recipe.training, data.labels[data.train]
    loss: Loss = fold_loss(training, recipe.cost, recipe.model.output, labels, ("c0", "c1"))
    if regime == "contrastive":
        EncoderTrainer(model, data, training, recipe.contrastive, recipe.seed).fit()
        wanted: dict[View, list[int]] = {v: data.train.tolist() for v in one.views}
        table = embed(model, data.table, len(data.labels), wanted)
        model, data = model.without_upper(), replace(data, table=table)
    Trainer(model, data, training, loss, recipe.seed).fit()


def _plain(one: Experiment, sizes: Sizes) -> Callable[[], object]:
    train = _parts(len(one.labels), sizes.folds)[0]
    fold = replace(
        one,
        images=one.images[train],
        labels=one.labels[train],
        sources=tuple(one.sources[i] for i in train.tolist()),
    )
    regimes = sum(2 if regime == "contrastive" else 1 for regime in sizes.regimes)
    return lambda: Took(fold.plain() * sizes.folds * regimes)
