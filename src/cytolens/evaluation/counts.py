"""Scores that a confusion matrix decides, for any number of (weighted) matrices at once.

Undefined is NaN here; `metrics` and `intervals` turn it into None. The conventions:

- recall and F1 of a class without true images are undefined, precision of a class nobody was
  put into, and specificity where every image is of the class;
- macro averages run over the `scored` classes (those with true images in the whole test set);
  the precision of a scored class nobody was put into counts as 0, so that forgetting a class never
  pays; where a scored class has no true image (in a resample), the average is undefined;
- both kappas and MCC are undefined where the labels hold one class only. MCC is 0 where the
  predictions do, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreArrays:
    """Scores of m weighted test sets: `overall` name → float64 [m], `per_class` → [m, k]."""

    overall: dict[str, Floats]
    per_class: dict[str, Floats]


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Return the quotient, NaN where the denominator is 0."""
    missing = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=missing, where=denominator != 0)
    return missing


def macro(values: Floats, scored: NDArray[np.bool_]) -> Floats:
    """Return the mean of `values` [m, k] over the `scored` classes; NaN where one is NaN."""
    return np.asarray(values[:, scored].mean(axis=1), np.float64)


def count_scores(confusion: Floats, scored: NDArray[np.bool_]) -> ScoreArrays:
    """Return the scores of each matrix of `confusion` (rows true, columns predicted, total > 0).

    Args:
        confusion: counts or sums of weights, float64 [m, k, k].
        scored: bool [k], the classes that macro averages run over.
    """
    support, predicted = confusion.sum(axis=2), confusion.sum(axis=1)  # [m, k]
    hits = np.diagonal(confusion, axis1=1, axis2=2)  # [m, k]
    total = support.sum(axis=1)  # [m]
    negatives = total[:, None] - support
    recall = ratio(hits, support)
    precision = ratio(hits, predicted)
    specificity = ratio(negatives - predicted + hits, negatives)
    f1 = np.where(support > 0, ratio(2 * hits, support + predicted), np.nan)
    counted_precision = np.where(support > 0, np.nan_to_num(precision), np.nan)
    overall = {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": macro(recall, scored),
        "macro_precision": macro(counted_precision, scored),
        "macro_recall": macro(recall, scored),
        "macro_specificity": macro(specificity, scored),
        "macro_f1": macro(f1, scored),
        "weighted_f1": (support * np.nan_to_num(f1)).sum(axis=1) / total,
        "kappa": _kappa(confusion, power=0),
        "quadratic_kappa": _kappa(confusion, power=2),
        "mcc": _mcc(support, predicted, hits.sum(axis=1), total),
    }
    per_class = {"precision": precision, "recall": recall, "specificity": specificity, "f1": f1}
    return ScoreArrays(overall, per_class)


def _kappa(confusion: Floats, power: int) -> Floats:
    """Return Cohen's kappa [m] (1960; weighted 1968): 1 - observed / expected disagreement.

    A disagreement of classes i and j costs |i - j| ** power; 0 makes all of them equal.
    """
    k = confusion.shape[1]
    steps = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    cost = np.where(steps > 0, steps**power, 0.0)
    support, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    observed = (confusion * cost).sum(axis=(1, 2)) * support.sum(axis=1)
    expected = np.einsum("mi,ij,mj->m", support, cost, predicted)
    several = (support > 0).sum(axis=1) > 1
    return np.where(several, 1 - ratio(observed, expected), np.nan)


def _mcc(support: Floats, predicted: Floats, hits: Floats, total: Floats) -> Floats:
    """Return the multi-class Matthews correlation [m] (Gorodkin 2004)."""
    covariance = hits * total - (support * predicted).sum(axis=1)
    truth = total**2 - (support**2).sum(axis=1)
    guess = total**2 - (predicted**2).sum(axis=1)
    several = (support > 0).sum(axis=1) > 1
    values = np.nan_to_num(ratio(covariance, np.sqrt(truth * guess)))
    return np.where(several, values, np.nan)
