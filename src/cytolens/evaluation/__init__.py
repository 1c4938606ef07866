"""Pooled predictions → metrics, intervals, calibration. Loads no torch."""

from cytolens.evaluation.calibration import (
    Temperature,
    apply_temperature,
    ece,
    fit_temperature,
    reliability,
)
from cytolens.evaluation.compare import compare
from cytolens.evaluation.costs import cheapest_decisions, cost_report
from cytolens.evaluation.difference import Difference, paired_difference, unpaired_difference
from cytolens.evaluation.evaluate import PROTOCOLS, UNITS, evaluate
from cytolens.evaluation.fusion import FUSIONS, fuse
from cytolens.evaluation.intervals import bootstrap, percentile_interval, wilson
from cytolens.evaluation.metrics import (
    LOWER_IS_BETTER,
    OVERALL,
    PER_CLASS,
    PointScores,
    point_scores,
)
from cytolens.evaluation.predictions import Predictions, pool
from cytolens.evaluation.significance import bootstrap_p, exact_mcnemar, holm, mcnemar
from cytolens.evaluation.subgroups import subgroup_scores

__all__ = [
    "FUSIONS",
    "LOWER_IS_BETTER",
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
    "bootstrap_p",
    "cheapest_decisions",
    "compare",
    "cost_report",
    "ece",
    "evaluate",
    "exact_mcnemar",
    "fit_temperature",
    "fuse",
    "holm",
    "mcnemar",
    "paired_difference",
    "percentile_interval",
    "point_scores",
    "pool",
    "reliability",
    "subgroup_scores",
    "unpaired_difference",
    "wilson",
]
