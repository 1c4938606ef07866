"""Pooled predictions → metrics, intervals, calibration. Loads no torch."""

from cytolens.evaluation.calibration import (
    Temperature,
    apply_temperature,
    ece,
    fit_temperature,
    reliability,
)
from cytolens.evaluation.difference import Difference, paired_difference, unpaired_difference
from cytolens.evaluation.evaluate import PROTOCOLS, UNITS, evaluate
from cytolens.evaluation.intervals import bootstrap, percentile_interval, wilson
from cytolens.evaluation.metrics import OVERALL, PER_CLASS, PointScores, point_scores
from cytolens.evaluation.predictions import Predictions, pool

__all__ = [
    "OVERALL",
    "PER_CLASS",
    "PROTOCOLS",
    "UNITS",
    "Difference",
    "PointScores",
    "Predictions",
    "Temperature",
    "apply_temperature",
    "bootstrap",
    "ece",
    "evaluate",
    "fit_temperature",
    "paired_difference",
    "percentile_interval",
    "point_scores",
    "pool",
    "reliability",
    "unpaired_difference",
    "wilson",
]
