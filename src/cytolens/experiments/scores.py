"""The content of `metrics.json`: scores, costs and subgroups of pooled predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, cost_report, evaluate, subgroup_scores
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.matrix import cost_matrix

SUBGROUP_COLUMNS = ("dataset", "magnification")


def all_scores(
    predictions: Predictions,
    columns: Mapping[str, Mapping[str, str]],
    *,
    protocol: str,
    leaks: Sequence[str],
    unit_name: str,
    cost: CostConfig,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return everything that `metrics.json` says (docs/architecture.md, "Metrics").

    Args:
        predictions: every image exactly once a repeat.
        columns: {column: {image id: value}} whose values are scored by themselves; see
            `subgroup_columns`.
        protocol, leaks, unit_name: as in `evaluation.evaluate`.
        cost: names the cost matrix and the decision.
        resamples: bootstrap samples of every interval.
        seed: seed of the bootstrap.

    Raises:
        InputError: what `evaluate` refuses, or costs that do not fit the classes.
        LeakError: an honest protocol with leaks.
    """
    scores = evaluate(
        predictions,
        protocol=protocol,
        leaks=leaks,
        unit_name=unit_name,
        resamples=resamples,
        seed=seed,
    )
    matrix = cost_matrix(cost, predictions.classes)
    return {
        **scores,
        "cost": cost_report(predictions, matrix, cost.decision, resamples=resamples, seed=seed),
        "subgroups": subgroup_scores(predictions, columns, resamples=resamples, seed=seed),
    }


def subgroup_columns(manifest: Manifest) -> dict[str, dict[str, str]]:
    """Return {column: {image id: value}} of the columns whose values are scored by themselves."""
    return {
        column: {
            row.id: value for row in manifest.rows if (value := row.attribute(column)) is not None
        }
        for column in SUBGROUP_COLUMNS
    }
