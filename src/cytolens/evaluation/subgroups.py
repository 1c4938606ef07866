"""Scores of parts of the test images: by dataset, by magnification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cytolens.evaluation.intervals import RESAMPLES, bootstrap, percentile_interval
from cytolens.evaluation.metrics import point_scores
from cytolens.evaluation.predictions import Predictions

SCORES = ("accuracy", "balanced_accuracy", "auc")


def subgroup_scores(
    predictions: Predictions,
    columns: Mapping[str, Mapping[str, str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score the test images of each value of some columns by themselves.

    Args:
        predictions: every image exactly once a repeat.
        columns: {column: {image id: value}}; images without a value stand in no subgroup.
        resamples: bootstrap samples of each interval, over the subgroup's own units.
        seed: seed of the bootstrap.

    Returns:
        {column: {value: {n, accuracy, balanced_accuracy, auc}}}, each score {value, low, high};
        values in sorted order. A column with fewer than two values among the images is left out.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for column, values in columns.items():
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(predictions.ids):
            if name in values:
                rows.setdefault(values[name], []).append(row)
        if len(rows) > 1:
            found[column] = {
                value: _scores(predictions.select(rows[value]), resamples, seed)
                for value in sorted(rows)
            }
    return found


def _scores(part: Predictions, resamples: int, seed: int) -> dict[str, Any]:
    points = point_scores(part.labels, part.probabilities).overall
    samples = bootstrap(part, resamples=resamples, seed=seed)
    scores: dict[str, Any] = {"n": part.images}
    for name in SCORES:
        low, high = percentile_interval(
            points[name], None if samples is None else samples.overall[name]
        )
        scores[name] = {"value": points[name], "low": low, "high": high}
    return scores
