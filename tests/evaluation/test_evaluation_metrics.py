"""Point scores against scikit-learn, and what is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from cytolens.evaluation import OVERALL, PER_CLASS, Predictions, point_scores
from cytolens.evaluation.metrics import confusion

Build = Callable[..., Predictions]


@pytest.mark.parametrize(("n", "k"), [(40, 2), (300, 3), (500, 7)])
def test_overall_scores_equal_scikit_learn(draw: Build, n: int, k: int) -> None:
    one = draw(n, k, 20, seed=n)
    y, p, guess = one.labels, one.probabilities, one.predicted
    score = point_scores(y, p).overall
    truth = np.eye(k)[y]
    expected = {
        "accuracy": sk.accuracy_score(y, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess),
        "macro_precision": sk.precision_score(y, guess, average="macro"),
        "macro_recall": sk.recall_score(y, guess, average="macro"),
        "macro_specificity": np.mean(
            [sk.recall_score(y != c, guess != c, pos_label=True) for c in range(k)]
        ),
        "macro_f1": sk.f1_score(y, guess, average="macro"),
        "weighted_f1": sk.f1_score(y, guess, average="weighted"),
        "auc": sk.roc_auc_score(truth, p, average="macro"),
        "average_precision": sk.average_precision_score(truth, p, average="macro"),
        "kappa": sk.cohen_kappa_score(y, guess),
        "quadratic_kappa": sk.cohen_kappa_score(y, guess, weights="quadratic"),
        "mcc": sk.matthews_corrcoef(y, guess),
        "brier": sum(sk.brier_score_loss(truth[:, c], p[:, c]) for c in range(k)),
        "log_loss": sk.log_loss(y, p, labels=range(k)),
    }
    assert set(score) == set(OVERALL) == {*expected, "ece"}
    for name, value in expected.items():
        assert score[name] == pytest.approx(value, abs=1e-12), name


def test_per_class_scores_equal_scikit_learn(draw: Build) -> None:
    one = draw(200, 4, 20)
    y, p, guess = one.labels, one.probabilities, one.predicted
    score = point_scores(y, p).per_class
    assert tuple(score) == PER_CLASS
    for c in range(4):
        pair = (y == c, guess == c)
        expected = {
            "precision": sk.precision_score(*pair),
            "recall": sk.recall_score(*pair),
            "specificity": sk.recall_score(*pair, pos_label=False),
            "f1": sk.f1_score(*pair),
            "auc": sk.roc_auc_score(y == c, p[:, c]),
            "average_precision": sk.average_precision_score(y == c, p[:, c]),
        }
        for name, value in expected.items():
            assert score[name][c] == pytest.approx(value, abs=1e-12), name


def test_confusion_equals_scikit_learn_and_has_true_rows(draw: Build) -> None:
    one = draw(100, 5, 20)
    expected = sk.confusion_matrix(one.labels, one.predicted)
    assert (confusion(one.labels, one.predicted, 5) == expected).all()
    matrix = confusion(np.array([0, 0, 1]), np.array([2, 0, 1]), 3)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_both_classes_of_two_have_the_same_auc(draw: Build) -> None:
    score = point_scores(*_columns(draw(80, 2, 10)))
    assert score.per_class["auc"][0] == pytest.approx(score.per_class["auc"][1])
    assert score.overall["auc"] == pytest.approx(score.per_class["auc"][1])


def _columns(one: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return one.labels, one.probabilities


def test_a_class_nobody_is_put_into() -> None:
    score = point_scores(np.array([0, 1, 1]), np.array([[0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]))
    assert score.per_class["precision"] == [None, 2 / 3]
    assert score.overall["macro_precision"] == pytest.approx(1 / 3)
    assert score.per_class["f1"] == [0.0, pytest.approx(0.8)]
    assert score.overall["mcc"] == 0.0
    assert score.overall["kappa"] == 0.0


def test_a_class_without_true_images() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])
    score = point_scores(np.array([0, 1, 0, 1]), p)
    assert score.per_class["recall"] == [0.5, 1.0, None]
    assert score.per_class["f1"] == [pytest.approx(2 / 3), 1.0, None]
    assert score.per_class["precision"] == [1.0, 1.0, 0.0]
    assert score.per_class["specificity"] == [1.0, 1.0, 0.75]
    assert score.per_class["auc"][2] is None
    assert score.per_class["average_precision"][2] is None
    assert score.overall["balanced_accuracy"] == 0.75
    assert score.overall["macro_f1"] == pytest.approx(5 / 6)
    assert score.overall["macro_specificity"] == 1.0


UNDEFINED_FOR_ONE_CLASS = {
    "macro_specificity",
    "auc",
    "average_precision",
    "kappa",
    "quadratic_kappa",
    "mcc",
}


@pytest.mark.parametrize("n", [1, 4])
def test_one_class_in_the_labels(n: int) -> None:
    score = point_scores(np.zeros(n, np.int64), np.tile([0.7, 0.3], (n, 1)))
    assert {name for name, value in score.overall.items() if value is None} == (
        UNDEFINED_FOR_ONE_CLASS
    )
    assert score.overall["accuracy"] == score.overall["balanced_accuracy"] == 1.0
    assert score.overall["ece"] == pytest.approx(0.3)
    assert score.per_class["recall"] == [1.0, None]
    assert score.per_class["specificity"] == [None, 1.0]


def test_one_class_in_all() -> None:
    score = point_scores(np.zeros(3, np.int64), np.ones((3, 1)))
    assert score.overall["accuracy"] == 1.0
    assert score.overall["auc"] is None


def test_probabilities_of_exactly_zero_and_one() -> None:
    score = point_scores(np.array([0, 1, 1]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    assert score.overall["log_loss"] == pytest.approx(-math.log(1e-15) / 3)
    assert score.overall["brier"] == pytest.approx(2 / 3)
    assert score.overall["ece"] == pytest.approx(1 / 3)
    assert score.overall["auc"] == pytest.approx(0.75)
