"""ROC and precision-recall points against scikit-learn, thinning, and the surest mistakes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score

from cytolens.report.mistakes import confident_mistakes
from cytolens.report.ranking_curves import POINTS, precision_recall, roc
from cytolens.report.run_folder import Scored


def drawn(n: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    positive = rng.random(n) < 0.3
    scores = rng.random(n) * 0.7 + 0.3 * positive
    return (np.round(scores, 1) if ties else scores), positive


@pytest.mark.parametrize("ties", [False, True])
def test_roc_has_the_area_of_scikit_learn(ties: bool) -> None:
    scores, positive = drawn(80, ties)
    curve = roc(scores, positive)
    assert curve is not None
    assert auc(curve.x, curve.y) == pytest.approx(roc_auc_score(positive, scores))


def test_precision_recall_has_the_average_precision_of_scikit_learn() -> None:
    scores, positive = drawn(80, ties=True)
    curve = precision_recall(scores, positive)
    assert curve is not None
    area = float((np.diff(curve.x) * curve.y[1:]).sum())
    assert area == pytest.approx(average_precision_score(positive, scores))


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    scores, positive = drawn(20_000, ties=False)
    curve = roc(scores, positive)
    assert curve is not None
    assert len(curve.x) <= POINTS + 1
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert auc(curve.x, curve.y) == pytest.approx(roc_auc_score(positive, scores), abs=2e-3)


def test_a_class_without_two_sides_has_no_curve() -> None:
    scores = np.array([0.1, 0.9])
    for positive in (np.array([False, False]), np.array([True, True])):
        assert roc(scores, positive) is None
        assert precision_recall(scores, positive) is None


def test_the_surest_mistakes_come_first_and_once_an_image() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9], [0.6, 0.4]])
    scored = Scored(
        ids=["right", "wrong", "twice", "twice", "barely"],
        labels=np.array([0, 0, 0, 0, 1]),
        probabilities=probabilities,
        folds=np.zeros(5, np.int64),
        repeats=np.array([0, 0, 0, 1, 0]),
    )
    found, wrong = confident_mistakes(scored, most=2)
    assert wrong == 4
    assert [(m.id, m.predicted, m.confidence) for m in found] == [
        ("twice", 1, 0.9),
        ("wrong", 1, 0.8),
    ]
