"""Judge settings by folds inside the training part; test images are not even in its manifest."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.core.seeding import rng
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, pool
from cytolens.experiments.environment import Clock
from cytolens.experiments.folder import Workplace
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.plan.speed import (
    FEW,
    MANY,
    PROBE_EPOCHS,
    Probe,
    Speed,
    feature_rows,
    with_epochs,
)
from cytolens.experiments.preparation import Prepared
from cytolens.experiments.recipe import Recipe
from cytolens.features.store import Store
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import Fold

FOLDS = (5, 3, 2)  # tried in this order


@dataclass(frozen=True)
class Inner:
    """The inner folds of a training part.

    Attributes:
        data: of the training part alone.
        notes: why there are fewer folds than usual.
    """

    data: Prepared
    notes: tuple[str, ...] = ()

    @property
    def folds(self) -> tuple[Fold, ...]:
        return self.data.split.folds


def inner_folds(training: Manifest, facts: Facts, seed: int) -> tuple[Inner | None, str]:
    """Cut the training part into five grouped folds, or three or two where it is small.

    Returns:
        The folds, and ""; or None, and why there are none.
    """
    why = ""
    for count in FOLDS:
        config = SplitConfig(kind="kfold", folds=count, validation=0.0)
        try:
            split, units = make_split(training, facts, config, "honest", seed)
        except InputError as error:
            why = " ".join([error.what, "; ".join(error.rows)]).strip()
            continue
        notes: tuple[str, ...] = split.notes
        if count < FOLDS[0]:
            notes += (f"only {count} inner folds: {why}",)
        return Inner(Prepared(training, facts, split, units, {}), notes), ""
    return None, why


@dataclass(frozen=True)
class Judged:
    """What one inner fold gave, and how long it took in seconds."""

    predictions: Predictions
    seconds: float


class Judge:
    """Learns recipes on inner folds; features are shared with later runs through the store.

    Args:
        inner: the folds.
        progress: told of each fold.
    """

    def __init__(self, inner: Inner, progress: Progress) -> None:
        self.inner = inner
        self.progress = progress
        self._areas: dict[tuple[str, str, object], int] = {}

    def judge(self, name: str, recipe: Recipe, number: int) -> Judged:
        """Train on all inner folds but one and predict that one."""
        fold = self.inner.folds[number]
        started = time.monotonic()
        learned, _ = self._learn(recipe, fold, f"{name}, inner fold {number + 1}", Store())
        data = self.inner.data
        rows = fold.rows("test", data.manifest)
        predictions = Predictions(
            ids=list(fold.test),
            labels=data.manifest.labels[rows],
            probabilities=learned.probabilities,
            classes=data.manifest.classes,
            folds=np.zeros(
                len(rows), dtype=np.int64
            ),  # whichever folds are judged, none is missing
            repeats=np.zeros(len(rows), dtype=np.int64),
            units=[data.units.names[row] for row in rows.tolist()],
        )
        return Judged(predictions, time.monotonic() - started)

    def area(self, recipe: Recipe) -> int:
        """Return the pixels of a recipe's input."""
        key = (recipe.model.backbone, recipe.model.weights, recipe.pixels.size)
        if key not in self._areas:
            size = create_learner(recipe, self.inner.data.manifest.classes).size
            assert size is not None, "networks have an input size"
            self._areas[key] = size[0] * size[1]
        return self._areas[key]

    def probe(self, recipe: Recipe) -> Speed:
        """Measure this machine on a few training images, in a store of its own."""
        recipe = with_epochs(recipe, PROBE_EPOCHS)
        ids = self.inner.data.manifest.ids
        order = rng(recipe.seed, "plan", "probe").permutation(len(ids)).tolist()
        probes = []
        for count in (FEW, MANY):
            train = tuple(ids[row] for row in order[: min(count, len(ids) - 1)])
            fold = Fold(0, 0, train, (), (ids[order[-1]],))
            with tempfile.TemporaryDirectory() as place:
                learned, clock = self._learn(recipe, fold, "probe", Store(Path(place)), quiet=True)
            epochs = [max(line["seconds"], 1e-4) for line in learned.history]
            probes.append(
                Probe(
                    rows=feature_rows(recipe, len(train), 1),
                    extracting=clock.seconds["extract features"],
                    building=max(0.0, clock.seconds["train"] - sum(epochs)),
                    epoch=len(train) / epochs[-1],
                )
            )
        few, many = probes
        return Speed.between(few, many, self.area(recipe))

    def _learn(
        self, recipe: Recipe, fold: Fold, name: str, store: Store, *, quiet: bool = False
    ) -> tuple[Learned, Clock]:
        data, clock = self.inner.data, Clock()
        learner = create_learner(recipe, data.manifest.classes)
        rows = {p: fold.rows(p, data.manifest) for p in ("train", "validation", "test")}
        progress = Silent() if quiet else self.progress
        with tempfile.TemporaryDirectory() as folder:
            place = Workplace(Path(folder) / "inner")
            setting = Setting(recipe, data, store, place, progress, clock)
            return learner.learn(Task(fold, rows, name, keep=False), setting), clock


def joined(parts: Sequence[Judged]) -> Predictions:
    """Return the predictions of the inner folds that were judged."""
    ids = {name for part in parts for name in part.predictions.ids}
    return pool([part.predictions for part in parts], expected=ids)
