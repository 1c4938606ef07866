"""Fit a classical classifier on a fold's training part and predict its test part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.models.classical.classifiers import CLASSIFIERS, Classifier
from cytolens.models.classical.config import ClassifierConfig
from cytolens.models.classical.temperature import as_columns, fit_temperature, softmax

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
INNER_FOLDS = 3


@dataclass(frozen=True)
class Training:
    """What a classifier is fitted on.

    Attributes:
        features: float64 [n, d].
        labels: class numbers, int64 [n].
        units: of each row; rows of one unit stay together in an inner cross-validation.
    """

    features: Floats
    labels: Labels
    units: Sequence[str]


@dataclass(frozen=True)
class Fitted:
    """Probabilities, and what a reader must know of how they came about.

    Attributes:
        probabilities: float64 [n, k]; the column of a class without training images is 0.
        facts: `temperature` (of classifiers that give scores; None where there were too few
            images to fit it, and it is 1), `converged`, `only_class` (the index of a single class
            in the training part, which then has probability 1).
    """

    probabilities: Floats
    facts: dict[str, Any]


def fit_predict(
    config: ClassifierConfig, train: Training, test: Floats, classes: int, seed: int, *names: int
) -> Fitted:
    """Standardise by the training part, fit on it, and predict the test part.

    Args:
        test: float64 [m, d].
        classes: number k of classes of the experiment.
        seed, names: of everything that is drawn.

    Raises:
        InputError: settings that the training part is too small for.
    """
    present = np.unique(train.labels)
    out = np.zeros((len(test), classes))
    if len(present) == 1 and config.kind != "majority":
        out[:, present[0]] = 1.0
        return Fitted(out, {"only_class": int(present[0])})
    if config.kind == "knn" and config.neighbours > len(train.labels):
        raise InputError(
            f"classifier.neighbours = {config.neighbours} is more than the "
            f"{len(train.labels)} training images of a fold."
        )
    if config.kind != "majority" and not _varies(train.features):
        raise InputError("The features of all training images of a fold are equal.")
    kind = CLASSIFIERS.get(config.kind)
    model = _Model(kind, config, seed, names)
    found, facts = model.probabilities(train, test)
    out[:, present] = found
    return Fitted(out, facts)


@dataclass(frozen=True)
class _Model:
    kind: Classifier
    config: ClassifierConfig
    seed: int
    names: tuple[int, ...]

    def probabilities(self, train: Training, test: Floats) -> tuple[Floats, dict[str, Any]]:
        """Return float64 [m, classes in the training part], and facts."""
        scale, estimator, facts = self._fit(train.features, train.labels)
        if self.kind.gives == "probabilities":
            return np.asarray(estimator.predict_proba(scale(test)), np.float64), facts
        temperature = self._temperature(train)
        scores = as_columns(np.asarray(estimator.decision_function(scale(test)), np.float64))
        return softmax(scores / (temperature or 1.0)), facts | {"temperature": temperature}

    def _fit(self, features: Floats, labels: Labels) -> tuple[_Scale, Any, dict[str, Any]]:
        scale = _Scale.of(features)
        estimator = self.kind.make(self.config, rng(self.seed, "classifier", *self.names))
        if self.config.kind != "logistic_regression":
            return scale, estimator.fit(scale(features), labels), {}
        with warnings.catch_warnings():
            from sklearn.exceptions import ConvergenceWarning

            warnings.simplefilter("ignore", ConvergenceWarning)  # told as a fact
            estimator.fit(scale(features), labels)
        converged = bool((estimator.n_iter_ < estimator.max_iter).all())
        return scale, estimator, {"converged": converged}

    def _temperature(self, train: Training) -> float | None:
        """Fit the temperature on scores out of an inner cross-validation of the training part.

        Images of a class that is all held out have no column and are left out.
        """
        part = inner_folds(train.labels, train.units, rng(self.seed, "inner folds", *self.names))
        scored = []
        for number in range(INNER_FOLDS):
            rest = part != number
            present = np.unique(train.labels[rest])
            held = ~rest & np.isin(train.labels, present)
            if len(present) < 2 or not held.any() or not _varies(train.features[rest]):
                continue
            scale, estimator, _ = self._fit(train.features[rest], train.labels[rest])
            found = estimator.decision_function(scale(train.features[held]))
            columns = np.searchsorted(present, train.labels[held])
            scored.append((as_columns(np.asarray(found, np.float64)), columns))
        return fit_temperature(scored) if scored else None


def _varies(features: Floats) -> bool:
    return bool(np.isfinite(_Scale.of(features).deviation).any())


@dataclass(frozen=True)
class _Scale:
    """Standardisation by the training part; a feature that does not vary becomes 0."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, features: Floats) -> _Scale:
        deviation = features.std(axis=0)
        still = deviation <= 1e-12 * np.maximum(1.0, np.abs(features).max(axis=0))
        return cls(features.mean(axis=0), np.where(still, np.inf, deviation))

    def __call__(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) / self.deviation)


def inner_folds(labels: Labels, units: Sequence[str], draw: np.random.Generator) -> Labels:
    """Deal whole units to the inner folds, class by class in a drawn order: int64 [n].

    A unit counts for the class of its first row.
    """
    first: dict[str, int] = {}
    for unit, label in zip(units, labels.tolist(), strict=True):
        first.setdefault(unit, label)
    dealt: dict[str, int] = {}
    for label in sorted(set(first.values())):
        mine = sorted(unit for unit, its in first.items() if its == label)
        for unit in draw.permutation(np.array(mine, dtype=object)):
            dealt[unit] = len(dealt) % INNER_FOLDS
    return np.array([dealt[unit] for unit in units], dtype=np.int64)
