"""Means over images, and the same means in bootstrap samples of whole units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cytolens.core.seeding import rng
from cytolens.evaluation.intervals import LEVEL, percentile_interval
from cytolens.evaluation.resampling import unit_weights

Floats = NDArray[np.float64]
Interval = dict[str, float | None]


@dataclass(frozen=True)
class Means:
    """Mean of each column over the images where it is defined, NaN where it is nowhere.

    Attributes:
        value: float64 [columns].
        samples: float64 [resamples, columns]; None without resamples or with fewer than two units.
    """

    value: Floats
    samples: Floats | None

    def interval(self, column: int) -> Interval | None:
        """Return {value, low, high} of a column, None where it is undefined."""
        return interval_of(self.value[column], self._drawn(column))

    def difference(self, column: int, other: int) -> tuple[Interval | None, Floats | None]:
        """Return a column minus another in the same samples: its interval, and the samples."""
        ours, theirs = self._drawn(column), self._drawn(other)
        drawn = None if ours is None or theirs is None else ours - theirs
        return interval_of(self.value[column] - self.value[other], drawn), drawn

    def _drawn(self, column: int) -> Floats | None:
        return None if self.samples is None else self.samples[:, column]


def interval_of(value: float, drawn: Floats | None) -> Interval | None:
    """Return {value, low, high}, the percentile interval of `drawn`; None for NaN."""
    if np.isnan(value):
        return None
    low, high = percentile_interval(float(value), drawn)
    return {"value": float(value), "low": low, "high": high}


def unit_means(table: Floats, units: Sequence[str], resamples: int, seed: int) -> Means:
    """Draw whole units with replacement; all columns share the draws, so they are paired.

    Args:
        table: float64 [images, columns]; NaN is left out of its column.
        units: of each image.
    """
    names, places = np.unique(np.array(units, dtype=object).astype(str), return_inverse=True)
    belongs = np.zeros((len(names), len(table)))
    belongs[places, np.arange(len(table))] = 1  # [units, images]
    sums = belongs @ np.nan_to_num(table)  # [units, columns]
    counts = belongs @ ~np.isnan(table)
    value = _ratio(sums.sum(axis=0), counts.sum(axis=0))
    if resamples == 0 or len(names) < 2:
        return Means(value, None)
    draws = unit_weights(rng(seed, "judgement"), len(names), resamples, table.shape[1])
    samples = [_ratio(w @ sums, w @ counts) for w in draws]
    return Means(value, np.concatenate(samples))


def ranking(values: Floats, samples: Floats | None) -> list[tuple[int, int | None, int | None]]:
    """Rank from 1, greatest first, equals sharing the better rank; 95 % of the samples' ranks.

    Args:
        values: float64 [n].
        samples: float64 [resamples, n], in each of which all are ranked anew.
    """
    ranks = rankdata(-values, method="min").astype(int)
    if samples is None:
        return [(int(rank), None, None) for rank in ranks]
    drawn = rankdata(-samples, method="min", axis=1).astype(int)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(
        drawn, [tail, 100 - tail], axis=0, method="nearest"
    )  # ranks are whole
    return [
        (int(rank), min(int(least), int(rank)), max(int(most), int(rank)))
        for rank, least, most in zip(ranks, low, high, strict=True)
    ]


def _ratio(sums: Floats, counts: Floats) -> Floats:
    return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)
