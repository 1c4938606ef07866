"""One experiment in two ways: on stored features, and through the whole network every time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cytolens.bench import plain
from cytolens.bench.measure import Took
from cytolens.core.files import sha256_file
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe
from cytolens.features.store import Store
from cytolens.features.table import FeatureTable, Source
from cytolens.models.network import Trainable
from cytolens.pixels.views import view
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss


@dataclass(frozen=True)
class Experiment:
    """What both ways train on; see `prepare`.

    Attributes:
        images: uint8 [n, H, W, 3], in memory, as the plain loop takes them.
        table: with all the views prepared.
        plain_epochs: so many are run the plain way, and their time multiplied.
    """

    recipe: Recipe
    network: Network
    sources: tuple[Source, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    table: FeatureTable
    folder: Path
    plain_epochs: int
    device: str

    @property
    def views(self) -> tuple[int, ...]:
        """The views that training asks for."""
        return tuple(range(1, self.recipe.training.view_count + 1)) or (0,)

    def pixels(self, rows: NDArray[np.int64], v: int) -> NDArray[np.uint8]:
        """Return a view of some images, drawn now: uint8 [n, H, W, 3]."""
        recipe = self.recipe
        return np.stack(
            [
                view(self.images[i], recipe.augment, recipe.seed, self.sources[i].id, v)
                for i in rows.tolist()
            ]
        )

    def trainer(self) -> Trainer:
        """Return the trainer of ours, fresh."""
        config = self.recipe.training
        model, _ = self.network.trainable(self.table.shape, 0, 0)
        rows = np.arange(len(self.labels))
        data = FoldData(self.table, self.labels, rows, rows[:0], (0, 0))
        return Trainer(model, data, config, Loss(config, self.recipe.model.output), 0)

    def ours(self) -> Took:
        """Train all epochs on stored features; what is built before is not counted."""
        trainer = self.trainer()
        started = time.perf_counter()
        trainer.fit()
        return Took(time.perf_counter() - started)

    def extraction(self) -> Took:
        """Compute all the views into an empty store; the network and its engine are built."""
        store = Store(self.folder / f"store-{next(_numbers)}")
        table = self.network.table_of(self.sources, store)
        engine = table.make_engine()
        started = time.perf_counter()
        table.fill(table.todo(dict.fromkeys(self.views, range(len(self.sources)))), engine)
        return Took(time.perf_counter() - started)

    def plain(self) -> Took:
        """Train the plain way and return the seconds of all epochs, scaled from the first ones."""
        lower, model = self.plain_parts()
        started = time.perf_counter()
        plain.train(lower, model, self.pixels, self.labels, self.recipe, self.plain_epochs)
        spent = time.perf_counter() - started
        return Took(spent * self.recipe.training.epochs / self.plain_epochs)

    def plain_parts(self) -> tuple[torch.nn.Module, Trainable]:
        """Return the network in the plain way: what is frozen, and what is trained of it."""
        backbone = self.network.fresh()
        assert backbone.lower is not None, "something is frozen"
        mine, _ = self.network.trainable(self.table.shape, 0, 0)
        # Without the fusing of convolution and batch norm that ours has.
        model = Trainable(backbone.upper, backbone.frozen_above, deepcopy(mine.head), True)
        return backbone.lower.eval().to(self.device), model.to(self.device)

    def difference(self) -> float:
        """Train a few epochs in both ways and return the largest difference of a weight."""
        lower, model = self.plain_parts()
        plain.train(lower, model, self.pixels, self.labels, self.recipe, self.plain_epochs)
        trainer = self.trainer()
        for epoch in range(self.plain_epochs):
            trainer.epoch(epoch)
        mine, theirs = trainer.model.state_dict(), model.state_dict()
        assert mine.keys() == theirs.keys(), "the same network"
        return max(float((mine[k].double() - theirs[k].double()).abs().max()) for k in mine)


_numbers = itertools.count()


def prepare(
    recipe: Recipe,
    files: Sequence[Path],
    labels: Sequence[int],
    folder: Path,
    plain_epochs: int,
    device: str,
) -> Experiment:
    """Read the images, compute their features once, and return the experiment."""
    network = Network(recipe, max(labels) + 1)
    sources = tuple(Source(path.name, path, sha256_file(path)) for path in files)
    images = np.stack([plain.read(path, network.size[0]) for path in files])
    table = network.table_of(sources, Store(folder / "store"))
    views = range(1, recipe.training.view_count + 1) or (0,)
    table.prepare(range(len(sources)), list(views))
    return Experiment(
        recipe,
        network,
        sources,
        images,
        np.asarray(labels, np.int64),
        table,
        folder,
        plain_epochs,
        device,
    )
