"""What the decisions of a model cost, and what the cheapest decisions would."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.checks import counted
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.intervals import RESAMPLES, Score, unit_ratio
from cytolens.evaluation.metrics import confusion
from cytolens.evaluation.predictions import Predictions

DECISIONS = ("most_probable", "cheapest")
Ints = NDArray[np.int64]


def cost_report(
    predictions: Predictions,
    matrix: Floats,
    decision: str = "most_probable",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Add up the cost of the most probable class, and of the cheapest decision where asked for.

    Args:
        predictions: every image exactly once a repeat.
        matrix: C float64 [k, k], the cost of calling class i class j; at least 0.
        decision: "cheapest" also reports `cheapest_decisions`, which are as good as the
            probabilities are calibrated.
        resamples: bootstrap samples over units, the same ones as the intervals of `evaluate`.
        seed: seed of the bootstrap.

    Returns:
        {matrix, most_probable {total, mean {value, low, high}}, cheapest {total, mean, accuracy
        {value, low, high}, confusion} or None}. The total is the sum over the images; with
        repeats it is the mean over the repeats.

    Raises:
        InputError: a matrix of another shape or with wrong values, or an unknown decision.
    """
    _require_matrix(matrix, predictions.classes)
    if decision not in DECISIONS:
        raise InputError(f"Unknown decision {decision!r}.", expected=f"one of {DECISIONS}")
    labels = predictions.labels

    def mean(values: Floats) -> Score:
        return unit_ratio(values, None, predictions.units, resamples=resamples, seed=seed)

    def report(decided: Ints) -> dict[str, Any]:
        costs = matrix[labels, decided]
        total = float(costs.sum()) / len(set(predictions.repeats.tolist()))
        return {"total": total, "mean": mean(costs)}

    cheapest = None
    if decision == "cheapest":
        decided = cheapest_decisions(predictions.probabilities, matrix)
        hits = (decided == labels).astype(np.float64)
        cheapest = report(decided) | {
            "accuracy": mean(hits),
            "confusion": confusion(labels, decided, len(predictions.classes)).tolist(),
        }
    return {
        "matrix": matrix.tolist(),
        "most_probable": report(predictions.predicted),
        "cheapest": cheapest,
    }


def cheapest_decisions(probabilities: Floats, matrix: Floats) -> Ints:
    """Return argmin_j Σ_i p_i C[i, j] of each row, int64 [n]; the first on a tie.

    Args:
        probabilities: float64 [n, k]; matrix: float64 [k, k], rows true, columns decided.
    """
    return np.asarray((probabilities @ matrix).argmin(axis=1), np.int64)


def _require_matrix(matrix: Floats, classes: tuple[str, ...]) -> None:
    k = len(classes)
    if matrix.shape != (k, k):
        raise InputError(
            f"The cost matrix has shape {matrix.shape}.",
            expected=f"{(k, k)}: a row a true class, a column a decision ({', '.join(classes)})",
        )
    wrong = np.argwhere(~(np.isfinite(matrix) & (matrix >= 0))).tolist()
    if wrong:
        raise InputError(
            f"{counted(len(wrong), 'cost')} below 0 or not a number.",
            rows=[f"{classes[i]} called {classes[j]}: {matrix[i, j]}" for i, j in wrong],
        )
