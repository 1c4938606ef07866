"""Weighted one-vs-rest AUC and average precision for many weightings, from one sort a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.evaluation.counts import Floats, ratio

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """The images in descending order of one class's probability, cut at thresholds.

    A threshold is a distinct probability that at least one image of the class has; t of them.

    Attributes:
        units: int64 [n], the unit of each image in that order.
        starts, ends: int64 [t], where the run of images tied at a threshold begins and ends.
        positive_units: int64 [p], the units of the images of the class, in that order.
        positive_starts: int64 [t], where a threshold begins among them.
    """

    units: Ints
    starts: Ints
    ends: Ints
    positive_units: Ints
    positive_starts: Ints


def rank(scores: Floats, positive: NDArray[np.bool_], units: Ints) -> Ranking:
    """Sort once. `scores` float64 [n], `positive` bool [n] (not all False), `units` int64 [n]."""
    order = np.argsort(-scores, kind="stable")
    descending, hit = scores[order], positive[order]
    begins = np.flatnonzero(np.r_[True, descending[1:] != descending[:-1]])
    run = np.searchsorted(begins, np.flatnonzero(hit), side="right") - 1  # [p], the run of each
    runs, positive_starts = np.unique(run, return_index=True)  # [t]
    return Ranking(
        units=units[order],
        starts=begins[runs],
        ends=np.r_[begins, len(scores)][runs + 1],
        positive_units=units[order][hit],
        positive_starts=positive_starts.astype(np.int64),
    )


def ranking_scores(ranking: Ranking, weights: Ints) -> tuple[Floats, Floats]:
    """Return AUC and average precision, float64 [m] each, for the unit `weights` int64 [m, units].

    The AUC is the share of weighted pairs (positive, negative) in the right order, ties as half
    (Mann-Whitney); average precision sums precision times the step of recall over the thresholds,
    as scikit-learn does. Both are NaN where positives or negatives have no weight.
    """
    running = np.zeros((len(weights), len(ranking.units) + 1), np.int64)
    np.cumsum(weights.take(ranking.units, axis=1), axis=1, out=running[:, 1:])
    before, upto = running.take(ranking.starts, axis=1), running.take(ranking.ends, axis=1)
    total = running[:, -1].astype(np.float64)
    step = np.add.reduceat(
        weights.take(ranking.positive_units, axis=1), ranking.positive_starts, axis=1
    )  # [m, t], the weight of the positives at each threshold
    hits = np.cumsum(step, axis=1)
    positives = hits[:, -1].astype(np.float64)
    negatives = total - positives
    above, tied = before - (hits - step), (upto - before) - step  # negatives [m, t]
    pairs = (step * (negatives[:, None] - above - 0.5 * tied)).sum(axis=1)
    auc = ratio(pairs, positives * negatives)
    precision = hits / np.maximum(upto, 1)  # nothing drawn so far: hits and step are 0 too
    ap = ratio((step * precision).sum(axis=1), np.where(negatives > 0, positives, 0.0))
    return auc, ap
