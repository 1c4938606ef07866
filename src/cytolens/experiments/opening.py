"""A recipe and its images, looked at and prepared: what is wrong with them is said first."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cytolens.core.progress import Progress
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.experiments.doubt import refuse_unknown
from cytolens.experiments.environment import Clock
from cytolens.experiments.examples import refuse_too_few
from cytolens.experiments.fold_work import FoldWork
from cytolens.experiments.folder import Workplace
from cytolens.experiments.identity import Identity, of_run
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.learning.learner import Learner, Setting
from cytolens.experiments.preparation import prepare, relabel
from cytolens.experiments.recipe import Recipe
from cytolens.features.store import Store
from cytolens.training.cost.matrix import cost_matrix

CHOSEN_ON_TEST = "the test part chose the epoch (training.choose_on)"


@dataclass(frozen=True)
class Subject:
    """A recipe and its images, looked at but not prepared."""

    recipe: Recipe
    manifest: Manifest
    facts: Facts
    learner: Learner

    @property
    def identity(self) -> Identity:
        return of_run(self.recipe, self.manifest, self.facts, self.learner.identity)

    def prepare(self, place: Workplace, progress: Progress, clock: Clock) -> FoldWork:
        """Expand, split and audit (`preparation.prepare`)."""
        expanded = place.path / "expanded"
        data = prepare(self.manifest, self.facts, self.recipe, expanded, progress)
        if self.recipe.training.choose_on == "test":
            leaks = (*data.split.leaks, CHOSEN_ON_TEST)
            data = replace(data, split=replace(data.split, leaks=leaks))
        setting = Setting(self.recipe, data, Store(), place, progress, clock)
        return FoldWork(self.learner, setting)


def look(recipe: Recipe, manifest: Manifest, progress: Progress) -> Subject:
    """Refuse what is wrong with recipe, labels or images before anything is written."""
    manifest = relabel(manifest, recipe)
    cost_matrix(recipe.cost, manifest.classes)
    refuse_unknown(recipe.bundle, manifest.classes)
    refuse_too_few(recipe.bundle, manifest.classes)
    learner = create_learner(recipe, manifest.classes)
    with progress.task("looking at the images", len(manifest)) as step:
        facts = scan_or_fail(manifest, step=step)
    return Subject(recipe, manifest, facts, learner)
