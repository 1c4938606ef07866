"""What a run knows of its own doubt, fitted on its pooled test predictions: `doubt.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cytolens.bundle.config import BundleConfig
from cytolens.core.errors import InputError
from cytolens.evaluation import Predictions
from cytolens.evaluation.calibration import reliability
from cytolens.evaluation.choosing import Choice, calibration_fit, choose_calibrator
from cytolens.evaluation.conformal import conformal_fit, coverage, fit_conformal
from cytolens.evaluation.crossfit import chain, crossfit_rows, each_image_once, parts, too_few
from cytolens.evaluation.operating import (
    Rates,
    abnormal_columns,
    fit_operating_point,
    operating_fit,
    operating_results,
)
from cytolens.evaluation.risk import decision_curve, risk_report

FILE = "doubt.json"
RISKS = (0.01, 0.02, 0.05, 0.1)


def refuse_unknown(config: BundleConfig, classes: Sequence[str]) -> None:
    """Refuse abnormal classes that are none of `classes`, or all of them, before anything runs."""
    if config.abnormal:
        abnormal_columns(classes, config.abnormal)


def find_doubt(
    predictions: Predictions, config: BundleConfig, *, resamples: int, seed: int
) -> dict[str, Any] | None:
    """Return the content of `doubt.json`; None where the images are too few (`too_few`).

    What is applied to an image was fitted without its unit (cross-fitted). One thing is not nested
    further: the confidence from which on an image is left to the machine is chosen among calibrated
    predictions whose calibrator knew the part that it is tried on; that is a few numbers.

    Args:
        predictions: pooled test predictions.
        config: how to calibrate, the wanted coverage, the abnormal classes.
        resamples: bootstrap samples of every interval.
        seed: of the bootstrap, and of the halves of a single holdout.

    Returns:
        {calibration (`Choice.to_json`), reliability {before, after: bins as in `metrics.json`},
        conformal {level, method, class_conditional, parameters, n, results (`coverage`)}, risk
        (`risk_report`), decision {abnormal, wanted, threshold, refer, results
        (`operating_results`)} | None, decision_curve [...] | None, fitted_on, notes [sentence]}.

    Raises:
        InputError: an unknown calibrator, or abnormal classes that are none.
    """
    refuse_unknown(config, predictions.classes)
    if too_few(predictions):
        return None
    candidates = None if config.calibration == "auto" else [config.calibration]
    choice = choose_calibrator(predictions, candidates=candidates, seed=seed)
    notes: list[str] = []
    decision = curve = None
    if config.abnormal:
        try:
            decision = _decision(predictions, choice, config, resamples, seed)
            curve = decision_curve(
                choice.calibrated, config.abnormal, resamples=resamples, seed=seed
            )
        except InputError as error:  # a part with normal images alone, say: a data set left out
            notes.append(f"Nothing was decided. {error.what}")
    return {
        "calibration": choice.to_json(predictions, resamples=resamples, seed=seed),
        "reliability": {
            "before": reliability(predictions.labels, predictions.probabilities),
            "after": reliability(predictions.labels, choice.calibrated.probabilities),
        },
        "conformal": _conformal(predictions, choice, config, resamples, seed),
        "risk": risk_report(choice.calibrated, risks=RISKS, resamples=resamples, seed=seed),
        "decision": decision,
        "decision_curve": curve,
        "fitted_on": parts(predictions, seed).how,
        "notes": notes,
    }


def _conformal(
    predictions: Predictions, choice: Choice, config: BundleConfig, resamples: int, seed: int
) -> dict[str, Any]:
    """Fit sets of classes on calibrated predictions, and score cross-fitted ones."""
    once = each_image_once(predictions)
    fitted = fit_conformal(
        choice.calibrator.apply(once.probabilities),
        once.labels,
        level=config.level,
        method=config.sets,
        class_conditional=config.class_conditional,
        units=once.units,
        seed=seed,
    )
    never_empty = not config.empty_sets
    sets = conformal_fit(
        config.level,
        config.sets,
        class_conditional=config.class_conditional,
        never_empty=never_empty,
        seed=seed,
    )
    fit = chain(calibration_fit(choice.calibrator.name), sets)
    held = crossfit_rows(predictions, fit, seed=seed)
    results = coverage(
        held,
        predictions.labels,
        predictions.units,
        predictions.classes,
        resamples=resamples,
        seed=seed,
    )
    return fitted.to_json() | {"never_empty": never_empty, "results": results}


def _decision(
    predictions: Predictions, choice: Choice, config: BundleConfig, resamples: int, seed: int
) -> dict[str, Any]:
    """Choose thresholds on calibrated predictions, and score cross-fitted ones."""
    wanted = Rates(config.sensitivity, config.specificity)
    once = each_image_once(predictions)
    whole = replace(once, probabilities=choice.calibrator.apply(once.probabilities))
    point = fit_operating_point(whole, config.abnormal, wanted)
    fit = chain(calibration_fit(choice.calibrator.name), operating_fit(config.abnormal, wanted))
    answers = crossfit_rows(predictions, fit, seed=seed)
    results = operating_results(
        answers, predictions, config.abnormal, resamples=resamples, seed=seed
    )
    return point.to_json() | {"results": results}
