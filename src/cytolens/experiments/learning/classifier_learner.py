"""Fit a classical classifier on features of a fold's training part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cytolens.experiments.learning.frozen import Frozen
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.learning.numbers import create_source
from cytolens.experiments.recipe import Recipe
from cytolens.models.classical.fitting import Training, fit_predict

NO_BUNDLE = "no bundle: a fitted classifier could only be kept as a pickle, which is never written"


class ClassifierLearner:
    """Fits a classifier a fold.

    Args:
        recipe: the experiment, with a classifier.
        classes: names in the order of the columns.

    Raises:
        InputError: a backbone or weights that cannot be had.
    """

    keeps_bundle = False

    def __init__(self, recipe: Recipe, classes: Sequence[str]) -> None:
        self.recipe = recipe
        self.classes = tuple(classes)
        self._source = create_source(recipe, len(classes))
        self.identity = self._source.identity
        self.engine = self._source.engine
        self.size = self._source.size
        self._told: set[str] = set()
        self.notes: tuple[str, ...] = (*self._source.notes, NO_BUNDLE)
        if recipe.split.validation > 0:
            self.notes += ("the validation part is not used: nothing is chosen by it",)

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen | None:
        return self._source.frozen(tasks, setting)

    def learn(self, task: Task, setting: Setting) -> Learned:
        """Fit on the fold's training part and predict its test part."""
        with setting.clock.stage("extract features"):
            numbers = self._source.read(task, setting)
        config, rows = self.recipe.classifier, task.rows["train"]
        labels = setting.data.manifest.labels[rows]
        units = [setting.data.units.names[row] for row in rows.tolist()]
        fold = (task.fold.repeat, task.fold.fold)
        with setting.clock.stage("train"):
            fitted = fit_predict(
                config,
                Training(numbers.train, labels, units),
                numbers.test,
                len(self.classes),
                self.recipe.seed,
                *fold,
            )
        notes = [*numbers.notes, *self._reservations(fitted.facts, task.name)]
        for note in notes:
            self._tell(note, setting)
        facts = {"classifier": config.kind, **numbers.facts, **fitted.facts, "notes": notes}
        if (only := facts.get("only_class")) is not None:
            facts["only_class"] = self.classes[only]
        return Learned(fitted.probabilities, [], facts)

    def _reservations(self, facts: dict[str, Any], fold: str) -> Iterator[str]:
        if (only := facts.get("only_class")) is not None:
            name = self.classes[only]
            yield f"{fold}: all training images are {name}; nothing else can be predicted"
        if facts.get("converged") is False:
            yield f"{fold}: {self.recipe.classifier.kind} did not converge"
        if "temperature" in facts and facts["temperature"] is None:
            yield f"{fold}: too few training images to calibrate the probabilities"

    def _tell(self, note: str, setting: Setting) -> None:
        """Say a note once a run."""
        if note not in self._told:
            self._told.add(note)
            setting.progress.say(note)
