"""What a finished row shows: its scores, and what it adds to those of an honest reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.files import read_json
from cytolens.evaluation import Predictions, evaluate, paired_difference
from cytolens.experiments.predictions_file import read_predictions

SCORES = ("accuracy", "auc")


@dataclass(frozen=True)
class Measured:
    """A finished row: its predictions with the honest units, and its metrics."""

    predictions: Predictions
    metrics: dict[str, Any]

    def scores(self) -> dict[str, Any]:
        """Return {score: {value, low, high}}."""
        return {name: self.metrics[name] for name in SCORES}


def measure(run: Path) -> Measured:
    """Read a finished run."""
    metrics = read_json(run / "metrics.json", "metrics of a run")
    predictions = read_predictions(run / "predictions.parquet", tuple(metrics["classes"]))
    return Measured(predictions, metrics)


def of_originals(row: Measured, reference: Measured, resamples: int, seed: int) -> Measured:
    """Score the reference's images alone, with the reference's units.

    Copies can look alike and so join units; the originals are what both rows share.
    """
    kept = _with_units(row.predictions, reference.predictions)
    interval = reference.metrics["interval"]
    metrics = evaluate(
        kept,
        protocol=row.metrics["protocol"],
        leaks=row.metrics["leaks"],
        unit_name=interval["unit"],
        resamples=resamples,
        seed=seed,
    )
    return Measured(kept, metrics)


def _with_units(predictions: Predictions, reference: Predictions) -> Predictions:
    unit = dict(zip(reference.ids, reference.units, strict=True))
    kept = predictions.select([i for i, name in enumerate(predictions.ids) if name in unit])
    return Predictions(
        kept.ids, kept.labels, kept.probabilities, kept.classes, kept.folds, kept.repeats,
        [unit[name] for name in kept.ids],
    )  # fmt: skip


def inflation(
    reference: Measured, row: Measured, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return {score: {value, low, high}} of row - reference, paired, over the honest units."""
    found = {}
    for score in SCORES:
        one = paired_difference(
            reference.predictions, row.predictions, score, resamples=resamples, seed=seed
        )
        found[score] = {"value": one.value, "low": one.low, "high": one.high}
    return found
