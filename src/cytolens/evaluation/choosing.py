"""Which calibrator: the simplest one among the best, by cross-fitted log loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.calibration import log_losses
from cytolens.evaluation.calibrators import CALIBRATORS, Calibrator, fit_calibrator
from cytolens.evaluation.crossfit import Applied, Fit, crossfit, parts
from cytolens.evaluation.intervals import RESAMPLES, Score, bootstrap, percentile_interval
from cytolens.evaluation.metrics import point_scores
from cytolens.evaluation.predictions import Predictions

SCORES = ("ece", "brier", "log_loss")


@dataclass(frozen=True, eq=False)
class Choice:
    """A chosen calibrator.

    Attributes:
        calibrator: fitted on all predictions.
        candidates: the cross-fitted log loss of each that was tried.
        calibrated: the predictions as the chosen kind calibrates them, cross-fitted.
        how: over what they were cross-fitted.
    """

    calibrator: Calibrator
    candidates: Mapping[str, float]
    calibrated: Predictions
    how: str

    def to_json(
        self, before: Predictions, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> dict[str, Any]:
        """Return {method, parameters, n, before, after, candidates, how}, all of it plain.

        Args:
            before: the predictions that the calibrator was chosen on.
        """
        return {
            "method": self.calibrator.name,
            "parameters": self.calibrator.parameters(),
            "n": before.images,
            "before": calibration_scores(before, resamples=resamples, seed=seed),
            "after": calibration_scores(self.calibrated, resamples=resamples, seed=seed),
            "candidates": dict(self.candidates),
            "how": self.how,
        }


def calibration_fit(name: str) -> Fit:
    """Return the fit of the calibrator called `name`, as `crossfit` and `chain` take it."""

    def fit(predictions: Predictions) -> Applied:
        return fit_calibrator(name, predictions.probabilities, predictions.labels).apply

    return fit


def choose_calibrator(
    predictions: Predictions, *, candidates: Sequence[str] | None = None, seed: int = 0
) -> Choice:
    """Choose the simplest calibrator whose log loss is not clearly above the lowest.

    Every candidate is cross-fitted. Not clearly above: by no more than one standard error of the
    paired difference, its sums taken over whole units (the rule of one standard error, Breiman et
    al. 1984). A candidate that is more flexible must show that it is worth it.

    Args:
        predictions: pooled test predictions; ask `too_few` first.
        candidates: names in `CALIBRATORS`, all of them by default.
        seed: for the halves of a single holdout.

    Raises:
        InputError: an unknown candidate or none, or all images of one unit.
    """
    names = CALIBRATORS.names() if candidates is None else tuple(candidates)
    if not names:
        raise InputError("No calibrator was named.", expected=f"some of {', '.join(CALIBRATORS)}")
    for name in names:
        CALIBRATORS.get(name)
    ordered = [name for name in CALIBRATORS if name in names]
    tried = {name: crossfit(predictions, calibration_fit(name), seed=seed) for name in ordered}
    losses = {name: log_losses(one.labels, one.probabilities) for name, one in tried.items()}
    means = {name: float(values.mean()) for name, values in losses.items()}
    best = min(ordered, key=lambda name: means[name])

    def near(name: str) -> bool:
        excess = losses[name] - losses[best]
        return float(excess.mean()) <= _standard_error(excess, predictions.units)

    chosen = next(name for name in ordered if near(name))
    return Choice(
        fit_calibrator(chosen, predictions.probabilities, predictions.labels),
        means,
        tried[chosen],
        parts(predictions, seed).how,
    )


def calibration_scores(
    predictions: Predictions, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Score]:
    """Return ECE, Brier score and log loss, each {value, low, high} over whole units."""
    points = point_scores(predictions.labels, predictions.probabilities).overall
    samples = bootstrap(predictions, resamples=resamples, seed=seed, ranked=False)
    scores: dict[str, Score] = {}
    for name in SCORES:
        drawn = None if samples is None else samples.overall[name]
        low, high = percentile_interval(points[name], drawn)
        scores[name] = {"value": points[name], "low": low, "high": high}
    return scores


def _standard_error(values: NDArray[np.float64], units: Sequence[str]) -> float:
    """Return the standard error of the mean of `values` [n], whose units are independent."""
    names, places = np.unique(np.asarray(units, str), return_inverse=True)
    sums = np.bincount(places, weights=values - values.mean())  # [units]
    count = len(names)
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values))
