"""Whether numbers of now are distributed as those of a reference: two measures, and their noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2

BINS = 10
WATCH, SHIFTED = (
    0.1,
    0.25,
)  # of the population stability index; Siddiqi 2006, Credit risk scorecards
KS_LEVEL = 1.628  # of the Kolmogorov-Smirnov distance at .01; Smirnov 1948
_HALF = 0.5  # added to every count, so that an empty bin gives a number


def psi(reference: ArrayLike, current: ArrayLike, bins: int = BINS) -> float:
    """Return the population stability index: Σ (a − e) ln(a / e) over bins.

    e and a are the shares of the reference and of the current numbers in bins that hold about as
    many numbers of the reference each; a half is added to every count.

    Args:
        reference, current: floats [n] and [m], neither empty.
    """
    before, now = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    edges = np.unique(np.quantile(before, np.arange(1, bins) / bins))

    def shares(values: np.ndarray) -> np.ndarray:
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        return (counts + _HALF) / (len(values) + _HALF * (len(edges) + 1))

    e, a = shares(before), shares(now)
    return float(((a - e) * np.log(a / e)).sum())


def psi_noise(reference: int, current: int, bins: int = BINS) -> float:
    """Return what the index stays below in 99 of 100 samples without a shift.

    Without a shift it is about (1 / n + 1 / m) times a chi-square of bins − 1 degrees of freedom
    (Yurdakul and Naranjo 2020, "Statistical properties of the population stability index").

    Args:
        reference, current: numbers of independent cases.
    """
    return float(chi2.ppf(0.99, bins - 1)) * (1 / reference + 1 / current)


def ks(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the Kolmogorov–Smirnov distance: the largest gap between both distributions."""
    before, now = np.sort(np.asarray(reference)), np.sort(np.asarray(current))
    every = np.concatenate([before, now])
    below = np.searchsorted(before, every, side="right") / len(before)
    gap = np.abs(below - np.searchsorted(now, every, side="right") / len(now))
    return float(gap.max())


def ks_noise(reference: int, current: int) -> float:
    """Return what the distance stays below in 99 of 100 samples without a shift.

    Args:
        reference, current: numbers of independent cases.
    """
    return KS_LEVEL * math.sqrt(1 / reference + 1 / current)
