"""Point scores of one test set, by scikit-learn where it has them; undefined is None.

The conventions on undefined values are those of `counts`; in addition AUC and average precision
of a class are undefined unless some images are of the class and some are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.evaluation import calibration

OVERALL = (
    "accuracy",
    "balanced_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_specificity",
    "macro_f1",
    "weighted_f1",
    "auc",
    "average_precision",
    "kappa",
    "quadratic_kappa",
    "mcc",
    "ece",
    "brier",
    "log_loss",
)
LOWER_IS_BETTER = ("ece", "brier", "log_loss")
PER_CLASS = ("precision", "recall", "specificity", "f1", "auc", "average_precision")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Values = list[float | None]


@dataclass(frozen=True)
class PointScores:
    """`overall`: name → value; `per_class`: name → a value a class. None where undefined."""

    overall: dict[str, float | None]
    per_class: dict[str, Values]


def point_scores(labels: Ints, probabilities: Floats) -> PointScores:
    """Score one test set.

    Args:
        labels: int64 [n], n > 0.
        probabilities: float64 [n, k]; the prediction is the first largest column.

    Returns:
        every name of `OVERALL` and of `PER_CLASS`. Macro averages (AUC and average precision
        one class against the rest) run over the classes that have true images.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(labels, predicted, probabilities.shape[1])
    per_class = _class_counts(labels, predicted, matrix) | _class_rankings(labels, probabilities)
    scored = np.flatnonzero(matrix.sum(axis=1)).tolist()
    overall = {
        **_averages(labels, predicted, scored),
        "macro_specificity": _mean(per_class["specificity"], scored),
        "auc": _mean(per_class["auc"], scored),
        "average_precision": _mean(per_class["average_precision"], scored),
        **_agreement(labels, predicted, probabilities.shape[1]),
        "ece": calibration.ece(labels, probabilities),
        "brier": float(calibration.squared_errors(labels, probabilities).mean()),
        "log_loss": float(calibration.log_losses(labels, probabilities).mean()),
    }
    return PointScores(
        {name: overall[name] for name in OVERALL}, {name: per_class[name] for name in PER_CLASS}
    )


def confusion(labels: Ints, predicted: Ints, classes: int) -> Ints:
    """Return the counts int64 [classes, classes]: rows true, columns predicted."""
    cells = np.bincount(labels * classes + predicted, minlength=classes**2)
    return np.asarray(cells.reshape(classes, classes), np.int64)


def _class_counts(labels: Ints, predicted: Ints, matrix: Ints) -> dict[str, Values]:
    from sklearn.metrics import precision_recall_fscore_support

    k, total = len(matrix), int(matrix.sum())
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(k), zero_division=np.nan
    )
    f1 = np.where(support > 0, f1, np.nan)
    negatives = total - support
    rejected = negatives - matrix.sum(axis=0) + np.diagonal(matrix)
    specificity = np.where(negatives > 0, rejected / np.maximum(negatives, 1), np.nan)
    columns = {"precision": precision, "recall": recall, "specificity": specificity, "f1": f1}
    return {name: [_defined(value) for value in column] for name, column in columns.items()}


def _class_rankings(labels: Ints, probabilities: Floats) -> dict[str, Values]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    auc: Values = []
    average_precision: Values = []
    for index in range(probabilities.shape[1]):
        positive, score = labels == index, probabilities[:, index]
        defined = 0 < positive.sum() < len(positive)
        auc.append(float(roc_auc_score(positive, score)) if defined else None)
        average_precision.append(
            float(average_precision_score(positive, score)) if defined else None
        )
    return {"auc": auc, "average_precision": average_precision}


def _averages(labels: Ints, predicted: Ints, scored: list[int]) -> dict[str, float | None]:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=scored, zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(recall.mean()),
        "macro_precision": float(precision.mean()),
        "macro_recall": float(recall.mean()),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=support)),
    }


def _agreement(labels: Ints, predicted: Ints, classes: int) -> dict[str, float | None]:
    from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

    if len(np.unique(labels)) < 2:
        return {"kappa": None, "quadratic_kappa": None, "mcc": None}
    order = np.arange(classes)
    quadratic = cohen_kappa_score(labels, predicted, labels=order, weights="quadratic")
    return {
        "kappa": float(cohen_kappa_score(labels, predicted, labels=order)),
        "quadratic_kappa": float(quadratic),
        "mcc": float(matthews_corrcoef(labels, predicted)),
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _mean(values: Values, scored: list[int]) -> float | None:
    """Return the mean over the scored classes; None if it is undefined for one of them."""
    chosen = [values[index] for index in scored]
    numbers = [value for value in chosen if value is not None]
    return float(np.mean(numbers)) if len(numbers) == len(chosen) else None
