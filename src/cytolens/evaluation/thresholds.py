"""Thresholds on the probability of being abnormal: by sensitivity, by specificity, by cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.checks import require_share, scores_and_truth

_ROUNDING = 1e-9

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Costs:
    """What it costs to miss an abnormal image, to call a normal one abnormal, to refer one.

    Only their ratios matter. Without `refer`, nothing is referred.
    """

    missed: float
    false_alarm: float
    refer: float | None = None

    def __post_init__(self) -> None:
        values = [value for value in asdict(self).values() if value is not None]
        if not (np.isfinite(values).all() and min(values) > 0):
            raise InputError(f"The costs are {asdict(self)}.", expected="numbers above 0")


def threshold_at_sensitivity(scores: ArrayLike, truth: ArrayLike, sensitivity: float) -> float:
    """Return the highest threshold at which that share of the positives is `>=` it.

    It stands half-way between two scores that occur (0 below the lowest), so that rounding
    changes no answer.

    Args:
        scores: floats [n] of at least 0.
        truth: bools [n], some of them True.
        sensitivity: the wanted share, between 0 and 1.

    Raises:
        InputError: no positives, or scores that are not numbers.
    """
    values, yes = scores_and_truth(scores, truth)
    require_share(sensitivity, "sensitivity")
    require_both(yes, needed=(True,))
    positives = np.sort(values[yes])[::-1]
    last = float(positives[math.ceil(sensitivity * len(positives) - _ROUNDING) - 1])
    below = values[values < last]
    return (last + float(below.max(initial=0.0))) / 2


def threshold_at_specificity(scores: ArrayLike, truth: ArrayLike, specificity: float) -> float:
    """Return the lowest threshold that leaves that share of the negatives below it.

    Half-way between two scores that occur; above the highest, half-way to 1.

    Args:
        scores: floats [n] in [0, 1].
        truth: bools [n], some of them False.
        specificity: the wanted share, between 0 and 1.

    Raises:
        InputError: no negatives, or scores that are not numbers.
    """
    values, yes = scores_and_truth(scores, truth)
    require_share(specificity, "specificity")
    require_both(yes, needed=(False,))
    negatives = np.sort(values[~yes])
    last = float(negatives[math.ceil(specificity * len(negatives) - _ROUNDING) - 1])
    above = values[values > last]
    return _between(last, float(above.min()) if above.size else None)


def thresholds_of_least_cost(
    scores: ArrayLike, truth: ArrayLike, costs: Costs
) -> tuple[float, float]:
    """Return the pair low <= high whose answers on these images cost least in all.

    Clear where score < low, abnormal where score >= high, referred between. Without a cost of
    referring both are the same. Of pairs that cost the same, the one that clears fewest, then the
    one that calls most abnormal. Found among all pairs in one pass: the cost is a sum of a term in
    low and a term in high, so the best low below each high is a running minimum.

    Args:
        scores: floats [n] in [0, 1]; truth: bools [n], both kinds present.

    Raises:
        InputError: one kind of images only, or scores that are not numbers.
    """
    values, yes = scores_and_truth(scores, truth)
    require_both(yes)
    seen, place = np.unique(values, return_inverse=True)  # [m], [n]
    positives = np.bincount(place, weights=yes)  # [m]
    negatives = np.bincount(place, weights=~yes)
    # Cut c stands below seen[c]: c of the distinct scores are under it, c = 0 … m.
    missed = costs.missed * np.r_[0.0, np.cumsum(positives)]  # [m + 1]
    alarms = costs.false_alarm * np.r_[np.cumsum(negatives[::-1])[::-1], 0.0]
    if costs.refer is None:
        low = high = int(_least(missed + alarms)[0])
    else:
        under = costs.refer * np.r_[0.0, np.cumsum(positives + negatives)]
        clearing, calling = missed - under, alarms + under
        best = np.minimum.accumulate(clearing)  # [m + 1], over the lows up to each high
        total = calling + best
        highs = _least(total).tolist()
        low, high = min((int(_least(clearing[: cut + 1])[0]), cut) for cut in highs)
    edges = seen.tolist()
    cuts = [0.0, *map(_between, edges, [*edges[1:], None])]
    return cuts[low], cuts[high]


def require_both(truth: Bools, needed: tuple[bool, ...] = (True, False)) -> None:
    """Refuse a truth bool [n] without one of the `needed` kinds."""
    for kind in needed:
        if not (truth == kind).any():
            name = "abnormal" if kind else "normal"
            raise InputError(
                f"There is no {name} image to choose a threshold by.",
                expected="images of both kinds",
            )


def _between(last: float, following: float | None) -> float:
    """Return a number above `last` and below `following`; without one, between it and 1."""
    if following is not None:
        middle = (last + following) / 2
        return middle if middle > last else following
    return (last + 1) / 2 if last < 1 else math.nextafter(last, math.inf)


def _least(values: Floats) -> NDArray[np.int64]:
    """Return the places of the least of `values`, those within rounding of it too."""
    slack = _ROUNDING * float(np.abs(values).max())
    return np.flatnonzero(values <= values.min() + slack)
