"""The folds of a run: each learned once, whoever does it, and pooled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.files import write_json, writing
from cytolens.evaluation import Predictions, pool
from cytolens.experiments.learning.frozen import Frozen
from cytolens.experiments.learning.learner import Learner, Setting, Task
from cytolens.splits.split import Fold


@dataclass(frozen=True)
class FoldWork:
    """A learner, and what it works with."""

    learner: Learner
    setting: Setting

    def learn_folds(self, *, helping: bool = False) -> None:
        """Learn every fold that is not finished yet and that no other process is learning.

        Args:
            helping: begin at the last fold and leave it at that; otherwise wait for the folds of
                helpers, and learn what they did not finish.
        """
        numbers = list(range(len(self.setting.data.split.folds)))
        if helping:
            numbers.reverse()
        for wait in (False,) if helping else (False, True):
            for number in numbers:
                self.learn_one(number, wait=wait)

    def learn_one(self, number: int, *, wait: bool) -> None:
        """Learn a fold, unless it is finished or another process is at it.

        Args:
            wait: wait for that process, and learn what it did not finish.
        """
        place, ranks, task = self.setting.place, self.setting.ranks, self.task(number)
        if not ranks.first:  # it trains along; the first one takes the fold and keeps what comes
            if ranks.same(False):
                self.learner.learn(replace(task, keep=False), self.setting)
            return
        with place.taking(task.fold.repeat, task.fold.fold, wait=wait) as free:
            if ranks.same(free):
                learned = self.learner.learn(task, self.setting)
                place.save_fold(task.fold.repeat, task.fold.fold, learned)

    def unfinished(self) -> list[int]:
        """Return the numbers of the folds that are not learned yet."""
        place, folds = self.setting.place, self.setting.data.split.folds
        return [
            number
            for number, fold in enumerate(folds)
            if not place.fold_path(fold.repeat, fold.fold, ".json").exists()
        ]

    def frozen(self) -> Frozen | None:
        """Return what is computed once an image for all folds."""
        folds = range(len(self.setting.data.split.folds))
        return self.learner.frozen([self.task(number) for number in folds], self.setting)

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

    def task(self, number: int) -> Task:
        """Return a fold with the rows of its parts."""
        manifest, folds = self.setting.data.manifest, self.setting.data.split.folds
        fold = folds[number]
        rows = {p: fold.rows(p, manifest) for p in ("train", "validation", "test")}
        if self.setting.recipe.training.choose_on == "test":
            rows["validation"] = rows["test"]
        return Task(fold, rows, f"fold {number + 1} of {len(folds)}", number == 0)

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
