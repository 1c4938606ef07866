"""The classical classifiers by name: what makes each, and which settings it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cytolens.core.registry import Registry

if TYPE_CHECKING:
    from cytolens.models.classical.config import ClassifierConfig

# scikit-learn is imported where it is used: reading a recipe needs the names alone.
Make = Callable[["ClassifierConfig", np.random.Generator], Any]


@dataclass(frozen=True)
class Classifier:
    """A kind of classifier.

    Attributes:
        title: what it is, for listings.
        make: gives an unfitted estimator in scikit-learn's form; everything it draws comes from
            the generator.
        settings: keys of `[classifier]` that it looks at.
        gives: "probabilities" (`predict_proba`), or "scores" (`decision_function`), which are
            turned into probabilities by a temperature (see `probabilities`).
    """

    title: str
    make: Make
    settings: tuple[str, ...] = ()
    gives: str = "probabilities"


CLASSIFIERS: Registry[Classifier] = Registry("classifier")


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _majority(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from sklearn.dummy import DummyClassifier

    del config, rng
    return DummyClassifier(strategy="prior")


def _svm(kernel: str, **settings: str) -> Make:
    def make(config: ClassifierConfig, rng: np.random.Generator) -> Any:
        from sklearn.svm import SVC

        del rng  # without its own probabilities, libsvm draws nothing
        chosen = {name: getattr(config, key) for name, key in settings.items()}
        if chosen.get("gamma") == 0:
            chosen["gamma"] = "scale"
        return SVC(kernel=kernel, C=config.c, **chosen)

    return make


def _knn(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    del rng
    return KNeighborsClassifier(config.neighbours)


def _random_forest(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(config.trees, random_state=_seed(rng))


def _logistic_regression(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from sklearn.linear_model import LogisticRegression

    del rng  # lbfgs draws nothing
    return LogisticRegression(C=config.c, max_iter=10_000)


def _naive_bayes(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from sklearn.naive_bayes import GaussianNB

    del config, rng
    return GaussianNB()


def _elm(config: ClassifierConfig, rng: np.random.Generator) -> Any:
    from cytolens.models.classical.elm import ExtremeLearningMachine

    return ExtremeLearningMachine(config.hidden, config.c, rng)


CLASSIFIERS.register(
    "majority", Classifier("the shares of the classes in the training part", _majority)
)
CLASSIFIERS.register(
    "svm_linear",
    Classifier("support vector machine, linear", _svm("linear"), ("c",), "scores"),
)
CLASSIFIERS.register(
    "svm_rbf",
    Classifier(
        "support vector machine, radial basis functions",
        _svm("rbf", gamma="gamma"),
        ("c", "gamma"),
        "scores",
    ),
)
CLASSIFIERS.register(
    "svm_poly",
    Classifier(
        "support vector machine, polynomial kernel",
        _svm("poly", gamma="gamma", degree="degree"),
        ("c", "gamma", "degree"),
        "scores",
    ),
)
CLASSIFIERS.register("knn", Classifier("nearest neighbours", _knn, ("neighbours",)))
CLASSIFIERS.register("random_forest", Classifier("random forest", _random_forest, ("trees",)))
CLASSIFIERS.register(
    "logistic_regression", Classifier("logistic regression", _logistic_regression, ("c",))
)
CLASSIFIERS.register("naive_bayes", Classifier("Gaussian naive Bayes", _naive_bayes))
CLASSIFIERS.register(
    "elm",
    Classifier("extreme learning machine (Huang 2006)", _elm, ("hidden", "c"), "scores"),
)
