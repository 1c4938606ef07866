"""What can be left to the machine: risk and coverage, and the net benefit of deciding by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.seeding import rng
from cytolens.evaluation.checks import require_share, scores_and_truth
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.crossfit import Applied, Fit, crossfit_rows
from cytolens.evaluation.intervals import (
    RESAMPLES,
    Score,
    percentile_interval,
    unit_ratios,
    unit_shares,
)
from cytolens.evaluation.operating import abnormal_probability, is_abnormal
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.resampling import unit_weights

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
WANTED_RISKS = (0.01, 0.02, 0.05)
POINTS = 100
_ROUNDING = 1e-9

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def confidence_and_correct(predictions: Predictions) -> tuple[Floats, Bools]:
    """Return the largest probability of each row and whether its class is the true one."""
    return predictions.probabilities.max(axis=1), predictions.predicted == predictions.labels


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Return the risk-coverage curve (El-Yaniv and Wiener 2010): coverage and risk, [m] each.

    Answered are the images of at least some confidence; coverage is their share, risk the share
    of wrong ones among them. One point a distinct confidence, the surest first.

    Args:
        confidence: floats [n]; correct: bools [n].

    Raises:
        InputError: no images, other shapes, confidences that are not numbers.
    """
    values, right = scores_and_truth(confidence, correct)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(values[order]) != 0, True])  # [m]
    wrong = np.cumsum(~right[order])[ends]
    return (ends + 1) / len(values), wrong / (ends + 1)


def aurc(confidence: ArrayLike, correct: ArrayLike) -> float:
    """Return the area under the risk-coverage curve (Geifman, Uziel and El-Yaniv 2019), in [0, 1].

    The mean over i = 1 … n of the risk of the i surest images; among images that are equally
    sure, its expectation over their order. It is the error rate where confidence says nothing.
    """
    values, right = scores_and_truth(confidence, correct)
    ones = np.ones((1, len(values)), np.int64)
    return float(_areas(values, right, np.arange(len(values)), ones)[0])


def best_aurc(errors: int, n: int) -> float:
    """Return the least area that this number of errors allows: all of them come last."""
    return float((np.arange(1, errors + 1) / np.arange(n - errors + 1, n + 1)).sum() / n)


def _areas(confidence: Floats, correct: Bools, places: Ints, weights: Ints) -> Floats:
    """Return the area [m] for the unit `weights` int64 [m, units]; `places` [n] are the units.

    Over a run of c equally sure images with e errors, after N images with E errors, the expected
    risks (E + i e / c) / (N + i), i = 1 … c, sum to e + (E - N e / c) (H(N + c) - H(N)), with the
    harmonic numbers H.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_ = confidence[order]
    begins = np.flatnonzero(np.r_[True, sorted_[1:] != sorted_[:-1]])
    rows = weights[:, places[order]]  # [m, n]
    count = np.add.reduceat(rows, begins, axis=1)  # [m, runs]
    errors = np.add.reduceat(rows * ~correct[order], begins, axis=1)
    after, wrong = np.cumsum(count, axis=1), np.cumsum(errors, axis=1)
    before = after - count
    harmonic = np.r_[0.0, np.cumsum(1 / np.arange(1, int(after[:, -1].max()) + 1))]
    share = errors / np.maximum(count, 1)
    sums = errors + (wrong - errors - share * before) * (harmonic[after] - harmonic[before])
    return np.asarray(sums.sum(axis=1) / after[:, -1], np.float64)


def confidence_for_risk(confidence: ArrayLike, correct: ArrayLike, risk: float) -> float | None:
    """Return the lowest confidence from which on at most this share of the answers is wrong.

    One wrong answer more than was seen is counted, (wrong + 1) / (answered + 1), as in conformal
    risk control (Angelopoulos et al. 2024), so that a few sure images do not look safe: for a risk
    of 1 % it takes 99 answers without an error.

    Returns:
        the confidence; None where no answers are sure enough, or too few.

    Raises:
        InputError: a risk outside (0, 1), no images, confidences that are not numbers.
    """
    require_share(risk, "risk")
    values, right = scores_and_truth(confidence, correct)
    coverage, risks = risk_coverage(values, right)
    answered = coverage * len(values)
    good = np.flatnonzero(risks * answered + 1 <= risk * (answered + 1) + _ROUNDING)
    return float(np.unique(values)[::-1][good[-1]]) if good.size else None


def acceptance_fit(risk: float) -> Fit:
    """Return the fit of what is left to the machine, as `crossfit_rows` and `chain` take it."""

    def fit(predictions: Predictions) -> Applied:
        least = confidence_for_risk(*confidence_and_correct(predictions), risk)
        bound = np.inf if least is None else least
        return lambda probabilities: probabilities.max(axis=1) >= bound

    return fit


def risk_report(
    predictions: Predictions,
    *,
    risks: Sequence[float] = WANTED_RISKS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Tell how many images could be left to the machine, at what risk.

    Returns:
        {n, error, aurc, best_aurc, curve [{confidence, coverage, risk {value, low, high}}] of at
        most `POINTS` points, left [{wanted, confidence, share, risk}]}. `error`, `aurc`, `share`
        and `risk` are {value, low, high} over whole units. In `left`, `confidence` is chosen on
        all predictions (None: nothing can be left), `share` and `risk` are cross-fitted: each
        image is judged by the confidence that the other parts need.

    Raises:
        InputError: a wanted risk outside (0, 1), or all images of one unit.
    """
    confidence, correct = confidence_and_correct(predictions)
    taken = [crossfit_rows(predictions, acceptance_fit(risk), seed=seed) for risk in risks]
    points = _thinned(np.unique(confidence)[::-1])
    answered = [confidence >= point for point in points]
    pairs = [
        (~correct, None),
        *((some, None) for some in taken),
        *((~correct, some) for some in (*taken, *answered)),
    ]
    scores = iter(unit_shares(pairs, predictions.units, resamples=resamples, seed=seed))
    error, shares = next(scores), [next(scores) for _ in risks]
    return {
        "n": predictions.images,
        "error": error,
        "aurc": _aurc_score(predictions, resamples, seed),
        "best_aurc": best_aurc(int((~correct).sum()), len(correct)),
        "left": [
            {
                "wanted": risk,
                "confidence": confidence_for_risk(confidence, correct, risk),
                "share": share,
                "risk": next(scores),
            }
            for risk, share in zip(risks, shares, strict=True)
        ],
        "curve": [
            {"confidence": point, "coverage": float(some.mean()), "risk": next(scores)}
            for point, some in zip(points, answered, strict=True)
        ],
    }


def _thinned(values: Floats) -> list[float]:
    places = np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(np.int64))
    return [float(value) for value in values[places]]


def _aurc_score(predictions: Predictions, resamples: int, seed: int) -> Score:
    confidence, correct = confidence_and_correct(predictions)
    names, places = np.unique(np.asarray(predictions.units, str), return_inverse=True)
    drawn = None
    if resamples > 0 and len(names) > 1:
        draws = unit_weights(rng(seed, "bootstrap"), len(names), resamples, len(predictions))
        drawn = np.concatenate([_areas(confidence, correct, places, chunk) for chunk in draws])
    value = aurc(confidence, correct)
    low, high = percentile_interval(value, drawn)
    return {"value": value, "low": low, "high": high}


def net_benefit(scores: ArrayLike, truth: ArrayLike, threshold: float) -> float:
    """Return TP / n - FP / n · t / (1 - t) of calling abnormal where score >= t.

    Vickers and Elkin 2006: t is the probability from which on one would act, so t / (1 - t) is
    what a false alarm weighs beside a hit.

    Raises:
        InputError: a threshold outside (0, 1), no images, scores that are not numbers.
    """
    require_share(threshold, "threshold")
    values, yes = scores_and_truth(scores, truth)
    return float(_benefits(values >= threshold, yes, threshold).mean())


def decision_curve(
    predictions: Predictions,
    abnormal: Sequence[str],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return the net benefit of deciding by p(abnormal), and of treating all and none.

    Args:
        predictions: best with cross-fitted calibration: the threshold is taken as a probability.
        abnormal: the abnormal classes.
        thresholds: of acting, between 0 and 1.

    Returns:
        [{threshold, model, all, none, gain}, …]: `none` is 0, `gain` is the model's net benefit
        less that of the better of all and none (chosen on all images); model, all and gain are
        {value, low, high} over whole units.

    Raises:
        InputError: a threshold outside (0, 1), or an unknown class.
    """
    p = abnormal_probability(predictions.probabilities, predictions.classes, abnormal)
    truth = is_abnormal(predictions, abnormal)

    pairs: list[tuple[ArrayLike, ArrayLike | None]] = []
    for threshold in thresholds:
        require_share(threshold, "threshold")
        model = _benefits(p >= threshold, truth, threshold)
        everyone = _benefits(np.ones(len(p), np.bool_), truth, threshold)
        other = everyone if everyone.mean() > 0 else np.zeros(len(p))
        pairs += [(model, None), (everyone, None), (model - other, None)]
    scores = iter(unit_ratios(pairs, predictions.units, resamples=resamples, seed=seed))
    return [
        {
            "threshold": threshold,
            "model": next(scores),
            "all": next(scores),
            "none": 0.0,
            "gain": next(scores),
        }
        for threshold in thresholds
    ]


def _benefits(called: Bools, truth: Bools, threshold: float) -> Floats:
    """Return what each image adds: 1 for a hit, -t / (1 - t) for a false alarm, float64 [n]."""
    odds = threshold / (1 - threshold)
    return np.asarray((called & truth) - odds * (called & ~truth), np.float64)
