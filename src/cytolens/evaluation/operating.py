"""Operating points: from which probability on an image is called abnormal, clear, or referred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.evaluation.checks import probability_table, require_share
from cytolens.evaluation.crossfit import Applied, Fit
from cytolens.evaluation.intervals import RESAMPLES, unit_shares
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.thresholds import (
    Costs,
    require_both,
    threshold_at_sensitivity,
    threshold_at_specificity,
    thresholds_of_least_cost,
)

CLEAR, REFER, ABNORMAL = 0, 1, 2
TRIAGE = ("clear", "refer", "abnormal")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """The wanted share of abnormal images called abnormal, and of normal ones called normal."""

    sensitivity: float = 0.95
    specificity: float = 0.95

    def __post_init__(self) -> None:
        require_share(self.sensitivity, "sensitivity")
        require_share(self.specificity, "specificity")


@dataclass(frozen=True)
class OperatingPoint:
    """Two ways to decide by p, the sum of the probabilities of the abnormal classes.

    Attributes:
        classes: the order of the probabilities' columns.
        abnormal: the classes that count as abnormal.
        wanted: what the thresholds were chosen for.
        threshold: with two answers: abnormal where p >= threshold.
        refer: low and high, with three: clear where p < low, abnormal where p >= high, else refer.
    """

    classes: tuple[str, ...]
    abnormal: tuple[str, ...]
    wanted: Rates | Costs
    threshold: float
    refer: tuple[float, float]

    def __post_init__(self) -> None:
        abnormal_columns(self.classes, self.abnormal)
        values = (self.threshold, *self.refer)
        if not np.isfinite(values).all() or self.refer[0] > self.refer[1]:
            raise InputError(f"The thresholds are {values}.", expected="numbers, low <= high")

    def probability(self, probabilities: ArrayLike) -> Floats:
        """Return p(abnormal) of rows of probabilities [n, k], float64 [n] in [0, 1]."""
        return abnormal_probability(probabilities, self.classes, self.abnormal)

    def called(self, probabilities: ArrayLike) -> Bools:
        """Return which rows are called abnormal where there are two answers, bool [n]."""
        return np.asarray(self.probability(probabilities) >= self.threshold, np.bool_)

    def triage(self, probabilities: ArrayLike) -> Ints:
        """Return the place in `TRIAGE` of each row's answer, int64 [n]."""
        p, (low, high) = self.probability(probabilities), self.refer
        return np.where(p >= high, ABNORMAL, np.where(p < low, CLEAR, REFER)).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Return {abnormal, wanted, threshold, refer [low, high]}."""
        return {
            "abnormal": list(self.abnormal),
            "wanted": asdict(self.wanted),
            "threshold": self.threshold,
            "refer": list(self.refer),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], classes: Sequence[str]) -> OperatingPoint:
        """Return what `to_json` gave; other keys are left alone.

        Raises:
            InputError: something is missing or no number, or an abnormal class is not of `classes`.
        """
        try:
            wanted = content["wanted"]
            kind = Costs if "missed" in wanted else Rates
            low, high = content["refer"]
            return cls(
                tuple(classes),
                tuple(map(str, content["abnormal"])),
                kind(**wanted),
                float(content["threshold"]),
                (float(low), float(high)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("The decision part cannot be read.") from error


def abnormal_probability(
    probabilities: ArrayLike, classes: Sequence[str], abnormal: Sequence[str]
) -> Floats:
    """Return the sum over the abnormal classes, float64 [n], of probabilities [n, k].

    Raises:
        InputError: an unknown class, none, or every one; rows that are no probabilities.
    """
    table = probability_table(probabilities, len(classes))
    p = table[:, abnormal_columns(classes, abnormal)].sum(axis=1)
    return np.asarray(np.minimum(p, 1.0), np.float64)


def is_abnormal(predictions: Predictions, abnormal: Sequence[str]) -> Bools:
    """Return whether the true class of each row is one of `abnormal`, bool [n]."""
    columns = abnormal_columns(predictions.classes, abnormal)
    return np.isin(predictions.labels, columns)


def fit_operating_point(
    predictions: Predictions, abnormal: Sequence[str], wanted: Rates | Costs
) -> OperatingPoint:
    """Choose the thresholds on pooled predictions.

    By rates: the threshold, which is `refer` low too, is the highest that reaches the sensitivity,
    `refer` high the lowest that reaches the specificity. Where the latter is the lower one, it
    reaches both: it is the only threshold then, nothing is referred, and less is missed than was
    allowed. By costs: what would have cost least, with two answers and with three.

    Raises:
        InputError: an unknown class, or images of one kind only.
    """
    p = abnormal_probability(predictions.probabilities, predictions.classes, abnormal)
    truth = is_abnormal(predictions, abnormal)
    require_both(truth)
    if isinstance(wanted, Costs):
        two = Costs(wanted.missed, wanted.false_alarm)
        threshold, _ = thresholds_of_least_cost(p, truth, two)
        low, high = thresholds_of_least_cost(p, truth, wanted)
    else:
        high = threshold_at_specificity(p, truth, wanted.specificity)
        threshold = low = min(high, threshold_at_sensitivity(p, truth, wanted.sensitivity))
    return OperatingPoint(predictions.classes, tuple(abnormal), wanted, threshold, (low, high))


def operating_fit(abnormal: Sequence[str], wanted: Rates | Costs) -> Fit:
    """Return the fit as `crossfit_rows` and `chain` take it; rows are (called, triage), int64."""

    def fit(predictions: Predictions) -> Applied:
        point = fit_operating_point(predictions, abnormal, wanted)
        return lambda p: np.stack([point.called(p), point.triage(p)], axis=1).astype(np.int64)

    return fit


def operating_results(
    answers: ArrayLike,
    predictions: Predictions,
    abnormal: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Score answers, with intervals over whole units.

    Args:
        answers: int64 [n, 2], (called, triage) of each row, best cross-fitted.
        predictions: their truth and units.
        abnormal: the abnormal classes.

    Returns:
        {n, abnormal (number), sensitivity, specificity, ppv, npv, triage {clear, refer, abnormal
        (shares of all), missed (share of the abnormal images that were cleared), false_alarms
        (share of the normal ones that were called abnormal), clear_right, abnormal_right (share
        of such answers that are true)}}; each a {value, low, high}, None where undefined.
    """
    rows = np.asarray(answers, np.int64)
    if rows.shape != (len(predictions), 2):
        raise InputError(
            f"The answers have shape {rows.shape}.", expected=f"{(len(predictions), 2)}"
        )
    truth, called, triage = is_abnormal(predictions, abnormal), rows[:, 0] == 1, rows[:, 1]
    everything = np.ones(len(rows), np.bool_)
    shares = {
        "sensitivity": (called, truth),
        "specificity": (~called, ~truth),
        "ppv": (truth, called),
        "npv": (~truth, ~called),
    }
    answers_of_three = {
        **{name: (triage == place, everything) for place, name in enumerate(TRIAGE)},
        "missed": (triage == CLEAR, truth),
        "false_alarms": (triage == ABNORMAL, ~truth),
        "clear_right": (~truth, triage == CLEAR),
        "abnormal_right": (truth, triage == ABNORMAL),
    }
    pairs = [*shares.values(), *answers_of_three.values()]
    scores = iter(unit_shares(pairs, predictions.units, resamples=resamples, seed=seed))
    return {
        "n": len(predictions),
        "abnormal": int(truth.sum()),
        **{name: next(scores) for name in shares},
        "triage": {name: next(scores) for name in answers_of_three},
    }


def abnormal_columns(classes: Sequence[str], abnormal: Sequence[str]) -> list[int]:
    """Return the places of the abnormal classes; refuse an unknown one, none, and all of them."""
    for name in abnormal:
        if name not in classes:
            raise InputError(
                f"The abnormal class {name!r} is none of the model's{did_you_mean(name, classes)}.",
                expected=f"some of {', '.join(classes)}",
            )
    if not 0 < len(set(abnormal)) < len(classes):
        raise InputError(
            f"{len(set(abnormal))} of the {len(classes)} classes count as abnormal.",
            expected="at least one, and not all",
        )
    return [place for place, name in enumerate(classes) if name in abnormal]
