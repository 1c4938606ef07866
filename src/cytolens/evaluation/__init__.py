"""Pooled predictions → metrics, intervals, calibration, decisions. Loads no torch."""

from cytolens.evaluation.calibration import (
    Temperature,
    apply_temperature,
    ece,
    fit_temperature,
    reliability,
)
from cytolens.evaluation.calibrators import (
    CALIBRATORS,
    Calibrator,
    IsotonicCalibration,
    NoCalibration,
    TemperatureScaling,
    VectorScaling,
    calibrator_from,
    fit_calibrator,
)
from cytolens.evaluation.choosing import (
    Choice,
    calibration_fit,
    calibration_scores,
    choose_calibrator,
)
from cytolens.evaluation.compare import compare
from cytolens.evaluation.conformal import (
    Conformal,
    conformal_fit,
    coverage,
    fit_conformal,
    images_needed,
)
from cytolens.evaluation.conformal_scores import CONFORMAL_METHODS, Penalty
from cytolens.evaluation.costs import cheapest_decisions, cost_report
from cytolens.evaluation.crossfit import (
    Parts,
    chain,
    crossfit,
    crossfit_rows,
    each_image_once,
    parts,
    too_few,
)
from cytolens.evaluation.difference import Difference, paired_difference, unpaired_difference
from cytolens.evaluation.evaluate import PROTOCOLS, UNITS, evaluate
from cytolens.evaluation.fusion import FUSIONS, fuse
from cytolens.evaluation.intervals import (
    bootstrap,
    percentile_interval,
    unit_ratio,
    unit_ratios,
    unit_shares,
    wilson,
)
from cytolens.evaluation.metrics import (
    LOWER_IS_BETTER,
    OVERALL,
    PER_CLASS,
    PointScores,
    point_scores,
)
from cytolens.evaluation.operating import (
    TRIAGE,
    OperatingPoint,
    Rates,
    abnormal_probability,
    fit_operating_point,
    is_abnormal,
    operating_fit,
    operating_results,
)
from cytolens.evaluation.predictions import Predictions, pool
from cytolens.evaluation.risk import (
    acceptance_fit,
    aurc,
    best_aurc,
    confidence_for_risk,
    decision_curve,
    net_benefit,
    risk_coverage,
    risk_report,
)
from cytolens.evaluation.significance import bootstrap_p, exact_mcnemar, holm, mcnemar
from cytolens.evaluation.subgroups import subgroup_scores
from cytolens.evaluation.thresholds import (
    Costs,
    threshold_at_sensitivity,
    threshold_at_specificity,
    thresholds_of_least_cost,
)

__all__ = [
    "CALIBRATORS",
    "CONFORMAL_METHODS",
    "FUSIONS",
    "LOWER_IS_BETTER",
    "OVERALL",
    "PER_CLASS",
    "PROTOCOLS",
    "TRIAGE",
    "UNITS",
    "Calibrator",
    "Choice",
    "Conformal",
    "Costs",
    "Difference",
    "IsotonicCalibration",
    "NoCalibration",
    "OperatingPoint",
    "Parts",
    "Penalty",
    "PointScores",
    "Predictions",
    "Rates",
    "Temperature",
    "TemperatureScaling",
    "VectorScaling",
    "abnormal_probability",
    "acceptance_fit",
    "apply_temperature",
    "aurc",
    "best_aurc",
    "bootstrap",
    "bootstrap_p",
    "calibration_fit",
    "calibration_scores",
    "calibrator_from",
    "chain",
    "cheapest_decisions",
    "choose_calibrator",
    "compare",
    "confidence_for_risk",
    "conformal_fit",
    "cost_report",
    "coverage",
    "crossfit",
    "crossfit_rows",
    "decision_curve",
    "each_image_once",
    "ece",
    "evaluate",
    "exact_mcnemar",
    "fit_calibrator",
    "fit_conformal",
    "fit_operating_point",
    "fit_temperature",
    "fuse",
    "holm",
    "images_needed",
    "is_abnormal",
    "mcnemar",
    "net_benefit",
    "operating_fit",
    "operating_results",
    "paired_difference",
    "parts",
    "percentile_interval",
    "point_scores",
    "pool",
    "reliability",
    "risk_coverage",
    "risk_report",
    "subgroup_scores",
    "threshold_at_sensitivity",
    "threshold_at_specificity",
    "thresholds_of_least_cost",
    "too_few",
    "unit_ratio",
    "unit_ratios",
    "unit_shares",
    "unpaired_difference",
    "wilson",
]
