"""Ensembles: the predictions of several models on the same images made into one.

A method takes the members' probabilities, float64 [m, n, k], and returns those of the ensemble,
float64 [n, k] with rows that sum to 1. None of them is fitted, so an ensemble of predictions that
did not know the test images does not know them either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.evaluation.common import require_same_images
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.predictions import Predictions

Method = Callable[[Floats], Floats]
FUSIONS: Registry[Method] = Registry("fusion")
_SAME_DIRECTION = 1e-12


def fuse(sets: Sequence[Predictions], method: str) -> Predictions:
    """Return the predictions of an ensemble, in the rows (and the folds) of the first set.

    Args:
        sets: two or more, of the same images in the same repeats, with the same classes.
        method: a name of `FUSIONS`.

    Raises:
        InputError: fewer than two sets, an unknown method, or sets that differ.
    """
    fusion = FUSIONS.get(method)
    if len(sets) < 2:
        raise InputError(f"{len(sets)} set of predictions; an ensemble needs two or more.")
    require_same_images({f"set {number}": one for number, one in enumerate(sets, 1)})
    first = sets[0]
    wanted = list(zip(first.ids, first.repeats.tolist(), strict=True))
    tables = []
    for number, one in enumerate(sets, 1):
        places = {
            key: row for row, key in enumerate(zip(one.ids, one.repeats.tolist(), strict=True))
        }
        if places.keys() != set(wanted):
            raise InputError(
                f"Set {number} has other repeats than the first.",
                rows=[f"{i}: repeat {r}" for i, r in sorted(places.keys() ^ set(wanted))],
                expected="every image in the same repeats",
            )
        tables.append(one.probabilities[[places[key] for key in wanted]])
    fused = fusion(np.stack(tables))  # [m, n, k] → [n, k]
    return Predictions(**(vars(first) | {"probabilities": fused}))


def mean(probabilities: Floats) -> Floats:
    """The mean of the members' probabilities."""
    return _normalised(probabilities.mean(axis=0))


def majority(probabilities: Floats) -> Floats:
    """The class that most members find most probable; the mean probability breaks ties.

    With v_c votes of m members for class c and the mean probability q_c, p_c = (v_c + q_c) /
    (m + 1): shares of the votes, where the mean is one more vote, divided over the classes. It
    never overturns a whole vote. A member votes for the first of its equal classes.
    """
    members, _, classes = probabilities.shape
    votes = np.eye(classes)[probabilities.argmax(axis=2)].sum(axis=0)  # [m, n] → [n, k]
    return np.asarray((votes + mean(probabilities)) / (members + 1), np.float64)


def fuzzy_rank(probabilities: Floats) -> Floats:
    """The fuzzy rank-based ensemble of Manna et al. (Scientific Reports 11, 2021).

    With x = (p - 1)² / 2 of a member's probability p, two fuzzy ranks are 1 - exp(-x) and
    1 - tanh(x); their product grows from 0 at p = 1 to .212 at p = 0. It is summed over the
    members, and the class with the smallest sum s_c wins, as in the authors' program.

    The paper has no probabilities. Here they are proportional to 1 - s_c / s_0, s_0 being the sum
    of a class that every member gives 0: falling in s_c, so the same class wins.
    """
    half = (probabilities - 1) ** 2 / 2
    sums = ((1 - np.exp(-half)) * (1 - np.tanh(half))).sum(axis=0)  # [m, n, k] → [n, k]
    most = len(probabilities) * (1 - np.exp(-0.5)) * (1 - np.tanh(0.5))
    return _normalised(1 - sums / most)


def fuzzy_distance(probabilities: Floats) -> Floats:
    """The fuzzy distance-based ensemble of Pramanik et al. (Comput. Meth. Prog. Biomed. 219, 2022).

    Where all members find the same class most probable, that class wins. Elsewhere, for each class
    c, the vector of the members' probabilities v_c [m] is compared with the best possible one,
    u = (1, …, 1): the Euclidean distance times the Manhattan distance times the cosine distance
    1 - u·v_c / (|u| |v_c|). The class with the smallest product d_c wins, as in the authors'
    program. The cosine distance is 0 where all members give a class the same probability, however
    small; such a class wins wherever members disagree. It is 1 here for a class that every member
    gives 0, where the authors' is undefined.

    The paper has no probabilities. Here they are the mean of the members' where they agree, else
    proportional to 1 - d_c / (m √m), the largest product: falling in d_c, so the same class wins.
    """
    members = len(probabilities)
    gap = 1 - probabilities
    euclidean = np.sqrt((gap**2).sum(axis=0))  # [n, k]
    manhattan = np.abs(gap).sum(axis=0)
    length = np.sqrt((probabilities**2).sum(axis=0)) * np.sqrt(members)
    similarity = np.zeros_like(length)
    np.divide(probabilities.sum(axis=0), length, out=similarity, where=length > 0)
    cosine = np.where(1 - similarity > _SAME_DIRECTION, 1 - similarity, 0.0)
    apart = _normalised(1 - euclidean * manhattan * cosine / members**1.5)
    votes = probabilities.argmax(axis=2)  # [m, n]
    agreed = (votes == votes[0]).all(axis=0)
    return np.where(agreed[:, None], mean(probabilities), apart)


def _normalised(scores: Floats) -> Floats:
    """Return rows divided by their sums; rounding below 0 is taken for 0."""
    positive = np.clip(scores, 0, None)
    return np.asarray(positive / positive.sum(axis=1, keepdims=True), np.float64)


FUSIONS.register("mean", mean)
FUSIONS.register("majority", majority)
FUSIONS.register("fuzzy_rank", fuzzy_rank)
FUSIONS.register("fuzzy_distance", fuzzy_distance)
