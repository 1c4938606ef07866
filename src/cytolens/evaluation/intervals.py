"""95 % intervals: percentiles of a bootstrap over whole units, and Wilson's closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.evaluation.counts import Floats, ScoreArrays, ratio
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.resampling import resampled, unit_weights

LEVEL = 0.95
RESAMPLES = 1000
SHARE_UNDEFINED = 0.05
_Z = 1.959963984540054  # the 97.5 % point of the normal distribution

Interval = tuple[float | None, float | None]
Score = dict[str, float | None]  # {value, low, high}


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


def unit_ratio(
    numerator: ArrayLike,
    denominator: ArrayLike | None,
    units: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Score:
    """Return Σ numerator / Σ denominator of the rows, with its interval over whole units.

    A mean where the denominator is 1 in each row (None), a share of some of the rows (a
    sensitivity, say) where it is 1 in those and 0 in the others. The same units are drawn as in
    `bootstrap`. The rest is as in `unit_ratios`.
    """
    [score] = unit_ratios([(numerator, denominator)], units, resamples=resamples, seed=seed)
    return score


def unit_ratios(
    pairs: Sequence[tuple[ArrayLike, ArrayLike | None]],
    units: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Score]:
    """Return many ratios with intervals from the same draws of units; see `unit_ratio`.

    Args:
        pairs: numerator and denominator, numbers or bools [n]; no denominator means 1 in each row.
        units: what is drawn as a whole [n].
        resamples: bootstrap samples; 0 gives no intervals.
        seed: seed of the bootstrap.

    Returns:
        {value, low, high} a pair; None where undefined, as in `percentile_interval`.

    Raises:
        InputError: columns of different length.
    """
    columns = [np.asarray(above, np.float64) for above, _ in pairs]
    columns += [np.ones(len(units)) if d is None else np.asarray(d, np.float64) for _, d in pairs]
    if odd := [column.shape for column in columns if column.shape != (len(units),)]:
        raise InputError(
            f"There are {len(units)} units for values of shape {odd[0]}.",
            expected="a unit for each row",
        )
    names, places = np.unique(np.asarray(units, str), return_inverse=True)  # [units], [n]
    sums = [np.bincount(places, weights=column, minlength=len(names)) for column in columns]
    wide = np.asarray(sums, np.float64).T  # [units, 2 pairs]
    values = _ratios(wide.sum(axis=0)[None])[0]  # [pairs]
    drawn = None
    if resamples > 0 and len(names) > 1 and pairs:
        draws = unit_weights(rng(seed, "bootstrap"), len(names), resamples, len(names))
        drawn = np.concatenate([_ratios(chunk.astype(np.float64) @ wide) for chunk in draws])
    scores: list[Score] = []
    for index, number in enumerate(values.tolist()):
        value = None if math.isnan(number) else number
        low, high = percentile_interval(value, None if drawn is None else drawn[:, index])
        scores.append({"value": value, "low": low, "high": high})
    return scores


def unit_shares(
    pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_] | None]],
    units: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Score]:
    """Return the share of `part` among `whole` (None: all rows), bools [n], as `unit_ratios` does.

    Every resample of a share of 0 or 1 is the same, as if nothing could be otherwise; its interval
    is Wilson's instead, for as many trials as there are units with a row in `whole`.
    """
    everything = np.ones(len(units), np.bool_)
    wholes = [everything if whole is None else whole for _, whole in pairs]
    inside = [(part & whole, whole) for (part, _), whole in zip(pairs, wholes, strict=True)]
    scores = unit_ratios(inside, units, resamples=resamples, seed=seed)
    names, places = np.unique(np.asarray(units, str), return_inverse=True)
    if resamples > 0 and len(names) > 1:
        for score, whole in zip(scores, wholes, strict=True):
            if score["value"] in (0.0, 1.0):
                trials = len(np.unique(places[whole]))
                low, high = wilson(trials if score["value"] else 0, trials)
                score.update(low=low, high=high)
    return scores


def _ratios(sums: Floats) -> Floats:
    """Return the quotients [m, pairs] of `sums` [m, 2 pairs], numerators first."""
    half = sums.shape[1] // 2
    return ratio(sums[:, :half], sums[:, half:])


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
