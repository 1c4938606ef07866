"""All scores of many resamples at once: a resample is a whole-number weight for every unit.

Counts and sums go through one product [sums, units] x [units, resamples] (`UnitSums`), AUC and
average precision through one sort a class (`ranking`). Nothing is recomputed image by image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.evaluation import calibration
from cytolens.evaluation.counts import Floats, ScoreArrays, count_scores, macro
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.ranking import Ints, Ranking, rank, ranking_scores

CELLS_A_CHUNK = 1_000_000
RANKED = ("auc", "average_precision")


def unit_weights(
    generator: np.random.Generator, units: int, resamples: int, width: int
) -> Iterator[Ints]:
    """Draw `units` units with replacement, `resamples` times; yield how often each was drawn.

    Args:
        generator: the only source of randomness.
        units: number of units.
        resamples: number of draws in all.
        width: the widest row the caller makes of a draw; a chunk keeps to `CELLS_A_CHUNK` cells.

    Yields:
        int64 [m, units] with row sums `units`; m sums to `resamples` over the chunks.
    """
    rows = max(1, CELLS_A_CHUNK // max(width, units))
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(units, size=(count, units))
        drawn += np.arange(count)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)


class Resampler:
    """Scores of one set of predictions under any weights of its units.

    Args:
        predictions: the test set.
        unit_names: the order of the units in the weights; every unit of `predictions` is in it.
        ranked: leave AUC and average precision out when False.
    """

    def __init__(
        self, predictions: Predictions, unit_names: Sequence[str], *, ranked: bool = True
    ) -> None:
        place = {name: index for index, name in enumerate(unit_names)}
        units = np.array([place[unit] for unit in predictions.units], np.int64)  # [n]
        labels, k = predictions.labels, len(predictions.classes)
        self.classes = k
        self.width = max(len(predictions), k * k)
        self.scored: NDArray[np.bool_] = np.bincount(labels, minlength=k) > 0
        self._sums = _unit_sums(predictions, units, len(unit_names))
        self._rankings: dict[int, Ranking] = {}
        if ranked:
            for index in np.flatnonzero(self.scored).tolist():
                scores, positive = predictions.probabilities[:, index], labels == index
                self._rankings[index] = rank(scores, positive, units)

    def scores(self, weights: Ints) -> ScoreArrays:
        """Return every score for the unit `weights`, int64 [m, units], each row of positive sum."""
        k = self.classes
        wide = np.ascontiguousarray(weights.T, np.float64)  # [units, m]
        sums = np.asarray(self._sums @ wide).T  # [m, k * k + BINS + 2]
        result = count_scores(sums[:, : k * k].reshape(-1, k, k), self.scored)
        n = sums[:, : k * k].sum(axis=1)
        result.overall["ece"] = np.abs(sums[:, k * k : -2]).sum(axis=1) / n
        result.overall["brier"] = sums[:, -2] / n
        result.overall["log_loss"] = sums[:, -1] / n
        if self._rankings:
            self._add_rankings(result, weights)
        return result

    def _add_rankings(self, result: ScoreArrays, weights: Ints) -> None:
        for name in RANKED:
            result.per_class[name] = np.full((len(weights), self.classes), np.nan)
        for index, ranking in self._rankings.items():
            for name, values in zip(RANKED, ranking_scores(ranking, weights), strict=True):
                result.per_class[name][:, index] = values
        for name in RANKED:
            result.overall[name] = macro(result.per_class[name], self.scored)


def _unit_sums(predictions: Predictions, units: Ints, count: int) -> Any:
    """Return the sums a unit as a sparse matrix [k * k + BINS + 2, units].

    Rows: the confusion matrix (k * k), the calibration gap of each confidence bin, the Brier
    score and the log-loss.
    """
    from scipy.sparse import coo_array

    labels, probabilities = predictions.labels, predictions.probabilities
    k = len(predictions.classes)
    bins = calibration.confidence_bins(probabilities.max(axis=1))
    rows = [
        labels * k + predictions.predicted,
        k * k + bins,
        np.full(len(labels), k * k + calibration.BINS),
        np.full(len(labels), k * k + calibration.BINS + 1),
    ]
    values = [
        np.ones(len(labels)),
        calibration.calibration_gaps(labels, probabilities),
        calibration.squared_errors(labels, probabilities),
        calibration.log_losses(labels, probabilities),
    ]
    places = (np.concatenate(rows), np.tile(units, len(rows)))
    shape = (k * k + calibration.BINS + 2, count)
    return coo_array((np.concatenate(values), places), shape=shape).tocsr()


def resampled(
    predictions: Predictions,
    generator: np.random.Generator,
    resamples: int,
    *,
    ranked: bool = True,
) -> ScoreArrays:
    """Return the scores of `resamples` bootstrap samples of whole units, [resamples] a score."""
    names = sorted(set(predictions.units))
    sampler = Resampler(predictions, names, ranked=ranked)
    draws = unit_weights(generator, len(names), resamples, sampler.width)
    return joined([sampler.scores(weights) for weights in draws])


def joined(chunks: Sequence[ScoreArrays]) -> ScoreArrays:
    """Return the chunks one after the other."""

    def stack(tables: list[dict[str, Floats]]) -> dict[str, Floats]:
        return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}

    return ScoreArrays(stack([c.overall for c in chunks]), stack([c.per_class for c in chunks]))
