"""95 % intervals: percentiles of a bootstrap over whole units, and Wilson's closed form."""

from __future__ import annotations

import math

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.evaluation.counts import Floats, ScoreArrays
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.resampling import resampled

LEVEL = 0.95
RESAMPLES = 1000
SHARE_UNDEFINED = 0.05
_Z = 1.959963984540054  # the 97.5 % point of the normal distribution

Interval = tuple[float | None, float | None]


def bootstrap(
    predictions: Predictions,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    ranked: bool = True,
) -> ScoreArrays | None:
    """Return every score of `resamples` bootstrap samples (Efron 1979) of whole units.

    A drawn unit brings all its images, in all repeats, as often as it is drawn. Images of a patient
    resemble one another, so intervals that resample images are too narrow.

    Args:
        predictions: the test set; `units` says what is drawn.
        resamples: number of samples.
        seed: the seed of `core.seeding.rng`.
        ranked: False leaves AUC and average precision out.

    Returns:
        the scores, NaN where undefined; None where fewer than two units or no resamples allow
        no interval.

    Raises:
        InputError: a negative number of resamples.
    """
    if resamples < 0:
        raise InputError(f"resamples = {resamples} is negative.", expected="0 or more")
    if resamples == 0 or len(set(predictions.units)) < 2:
        return None
    return resampled(predictions, rng(seed, "bootstrap"), resamples, ranked=ranked)


def percentile_interval(value: float | None, samples: Floats | None) -> Interval:
    """Return the 95 % percentile interval of `samples`, float64 [resamples], around `value`.

    Undefined (NaN) samples are left out. ECE, which chance can only raise, may lie below all its
    samples; the interval is then stretched to hold `value`.

    Returns:
        (low, high), or (None, None) without a value or samples, or with over 5 % undefined.
    """
    if value is None or samples is None or not samples.size:
        return None, None
    defined = samples[~np.isnan(samples)]
    if len(defined) < (1 - SHARE_UNDEFINED) * len(samples):
        return None, None
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return min(float(low), value), max(float(high), value)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion (1927), within [0, 1]; (0, 1) for n = 0.

    It takes the n trials for independent: use it for one image a patient, else the bootstrap.

    Raises:
        InputError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise InputError(
            f"{successes} successes in {n} trials.", expected="0 <= successes <= trials"
        )
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, _Z**2 / n
    centre = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high
