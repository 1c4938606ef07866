"""Which learner a recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence

from cytolens.experiments.learning.classifier_learner import ClassifierLearner
from cytolens.experiments.learning.learner import Learner
from cytolens.experiments.learning.network_learner import NetworkLearner
from cytolens.experiments.recipe import Recipe


def create_learner(recipe: Recipe, classes: Sequence[str]) -> Learner:
    """Return the learner of a recipe.

    Raises:
        InputError: a recipe that cannot be carried out.
    """
    if recipe.classifier.used:
        return ClassifierLearner(recipe, classes)
    return NetworkLearner(recipe, classes)
