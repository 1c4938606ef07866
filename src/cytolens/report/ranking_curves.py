"""ROC and precision-recall curves of one class against the rest, as few points as the eye needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS = 120

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of a curve, `x` and `y` float64 [m] in 0…1, from left to right."""

    x: Floats
    y: Floats


def _cumulative(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return hits and false alarms [t] when everything from each distinct score up is called."""
    order = np.argsort(-scores, kind="stable")
    descending, truth = scores[order], positive[order]
    last = np.flatnonzero(np.r_[descending[1:] != descending[:-1], True])  # of each run of ties
    hits = np.cumsum(truth)[last].astype(np.float64)
    return hits, last + 1.0 - hits


def roc(scores: Floats, positive: NDArray[np.bool_]) -> Curve | None:
    """Return false-positive rate against true-positive rate; None with one class only.

    Args:
        scores: float64 [n], probability of the class.
        positive: bool [n].
    """
    if positive.all() or not positive.any():
        return None
    hits, alarms = _cumulative(scores, positive)
    x, y = np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]]
    corner = np.r_[True, (np.diff(x, 2) != 0) | (np.diff(y, 2) != 0), True]
    return thin(Curve(x[corner], y[corner]))


def precision_recall(scores: Floats, positive: NDArray[np.bool_]) -> Curve | None:
    """Return recall against precision, as steps; None with one class only."""
    if positive.all() or not positive.any():
        return None
    hits, alarms = _cumulative(scores, positive)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    rises = np.r_[True, np.diff(recall) > 0]
    recall, precision = recall[rises], precision[rises]
    return thin(Curve(np.r_[0.0, recall], np.r_[precision[0], precision]))


def thin(curve: Curve, points: int = POINTS) -> Curve:
    """Keep the ends and about `points` points at equal steps along the curve."""
    if len(curve.x) <= points:
        return curve
    length = np.r_[0.0, np.cumsum(np.hypot(np.diff(curve.x), np.diff(curve.y)))]
    wanted = np.linspace(0.0, length[-1], points)
    kept = np.unique(np.r_[0, np.searchsorted(length, wanted).clip(max=len(length) - 1)])
    return Curve(curve.x[kept], curve.y[kept])
