"""Tests of a difference: bootstrap over units, McNemar over images, Holm over many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.intervals import SHARE_UNDEFINED
from cytolens.evaluation.predictions import Predictions


@dataclass(frozen=True)
class McNemar:
    """Images that only one of two models names right, and the p-value of their numbers."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Predictions, second: Predictions) -> McNemar:
    """Test whether two models name the same images right equally often (McNemar 1947), exactly.

    Under the null hypothesis a discordant image falls to either model by the toss of a coin, so
    p is the two-sided binomial probability of a division at least as uneven; 1 without discordant
    images. It takes images for independent, which images of a patient are not: where units hold
    several images it finds differences too easily.

    With repeats, an image counts for the model that names it right in the larger share of its
    repeats, and for neither where the shares are equal (a sign test; with one repeat, McNemar's).

    Args:
        first, second: predictions of the same images.

    Raises:
        InputError: the images differ.
    """
    shares = [correct_shares(one) for one in (first, second)]
    if shares[0].keys() != shares[1].keys():
        apart = sorted(shares[0].keys() ^ shares[1].keys())
        raise InputError("McNemar's test needs the same images.", rows=apart)
    gains = [shares[1][name] - share for name, share in shares[0].items()]
    only_first, only_second = sum(g < 0 for g in gains), sum(g > 0 for g in gains)
    return McNemar(only_first, only_second, exact_mcnemar(only_first, only_second))


def correct_shares(predictions: Predictions) -> dict[str, float]:
    """Return for each image the share of its repeats in which it is named right."""
    index: dict[str, int] = {}
    places = np.array([index.setdefault(name, len(index)) for name in predictions.ids], np.int64)
    hits = np.bincount(places, weights=predictions.predicted == predictions.labels)
    shares = hits / np.bincount(places)  # [images]
    return dict(zip(index, shares.tolist(), strict=True))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """Return min(1, 2 · P(X ≤ the smaller count)), X binomial with n their sum and p = 1/2."""
    from scipy.special import bdtr

    smaller, n = min(only_first, only_second), only_first + only_second
    return min(1.0, 2 * float(bdtr(smaller, n, 0.5)))


def bootstrap_p(differences: Floats | None) -> float | None:
    """Return the two-sided p-value of paired bootstrap differences against no difference.

    p = 2 · min((1 + #{d ≤ 0}) / (B + 1), (1 + #{d ≥ 0}) / (B + 1)), at most 1: the level at which
    the percentile interval begins to hold 0 (Davison and Hinkley 1997, section 4.4 and eq. 4.11
    for the added 1, which keeps p above 0). The smallest p is 2 / (B + 1).

    Args:
        differences: float64 [B], one a bootstrap sample; NaN where undefined, left out.

    Returns:
        p, or None without samples or with over 5 % undefined, as intervals are.
    """
    if differences is None or not differences.size:
        return None
    defined = differences[~np.isnan(differences)]
    if len(defined) < (1 - SHARE_UNDEFINED) * len(differences):
        return None
    tails = [1 + int((defined <= 0).sum()), 1 + int((defined >= 0).sum())]
    return min(1.0, 2 * min(tails) / (len(defined) + 1))


def unit_p(differences: Floats | None, units: int) -> float | None:
    """Return the p-value of `bootstrap_p`, but at least 2^(1 - units).

    That is the smallest p of the exact test that swaps the two sides within units: where all of
    few units favour one side, every bootstrap sample does, however easily chance does it too.
    """
    p = bootstrap_p(differences)
    return None if p is None else max(p, 2.0 ** (1 - units))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number by Holm's step-down (1979), in the same order.

    The i-th smallest of m (i from 0) becomes the largest of (m - j) · p_j over j ≤ i, at most 1.
    None is no test: it stays None and does not count.
    """
    places = [place for place, p in enumerate(p_values) if p is not None]
    values: NDArray[np.float64] = np.array([p_values[place] for place in places], np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted: list[float | None] = [None] * len(p_values)
    for rank, value in zip(order.tolist(), stepped.tolist(), strict=True):
        adjusted[places[rank]] = min(1.0, value)
    return adjusted
