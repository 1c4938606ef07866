"""Compare several models on the same images: every pair, corrected for their number."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.evaluation.common import common_images, require_same_images
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.difference import require_score
from cytolens.evaluation.intervals import LEVEL, percentile_interval
from cytolens.evaluation.metrics import LOWER_IS_BETTER, point_scores
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.resampling import RANKED, Resampler, unit_weights
from cytolens.evaluation.significance import holm, mcnemar, unit_p

RESAMPLES = 2000
RESAMPLES_A_PAIR = 100
BETTER, WORSE, NOT_SHOWN = "better", "worse", "not shown to differ"


def compare(
    named: Mapping[str, Predictions],
    score: str = "accuracy",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    common: bool = False,
    unit_name: str = "unit",
) -> dict[str, Any]:
    """Compare models by the difference of a score over the same bootstrap samples of whole units.

    Every pair is tested twice: by the bootstrap over units, which gives the verdict, and by
    McNemar's exact test over images, which takes images for independent. Each test has a Holm
    correction of its own over all pairs.

    Args:
        named: two or more sets of predictions by name, of the same images and classes.
        score: a name of `metrics.OVERALL`.
        resamples: bootstrap samples; more are drawn where there are many pairs (100 a pair),
            because 2 / (B + 1), the smallest p, times the pairs must lie well below .05.
        seed: seed of the bootstrap.
        common: compare on the images that all sets share; their units are joined.
        unit_name: what the units are, for the result.

    Returns:
        {score, level, n, unit, units, resamples, runs: [{name, value, low, high}], pairs:
        [{first, second, difference {value, low, high}, p, p_holm, mcnemar {only_first,
        only_second, p, p_holm}, verdict}]}. The difference is second - first; the verdict says
        "better", "worse" or "not shown to differ" of the second. p is at least 2^(1 - units), so
        that five units or fewer never show a difference. With fewer than two units there is no
        test: intervals and p of the bootstrap are None.

    Raises:
        InputError: fewer than two sets, an unknown score, negative resamples or seed, or sets that
            differ in classes, images, labels or units; with `common`, no shared image or other
            labels.
    """
    require_score(score)
    if len(named) < 2:
        raise InputError(f"{len(named)} set of predictions; a comparison needs two or more.")
    if resamples < 0:
        raise InputError(f"resamples = {resamples} is negative.", expected="0 or more")
    if seed < 0:
        raise InputError(f"seed = {seed} is negative.", expected="0 or more")
    sets = common_images(named) if common else dict(named)
    require_same_images(sets)
    names, first = list(sets), next(iter(sets.values()))
    pairs = list(itertools.combinations(range(len(names)), 2))
    drawn = max(resamples, RESAMPLES_A_PAIR * len(pairs)) if resamples else 0
    samples = _samples(list(sets.values()), score, drawn, seed)
    points = [point_scores(one.labels, one.probabilities).overall[score] for one in sets.values()]
    units = len(set(first.units))
    rows = [_pair(names, points, samples, units, i, j) for i, j in pairs]
    for row, (i, j) in zip(rows, pairs, strict=True):
        found = mcnemar(sets[names[i]], sets[names[j]])
        row["mcnemar"] = {**vars(found), "p_holm": None}
    _correct_and_judge(rows, score)
    return {
        "score": score,
        "level": LEVEL,
        "n": first.images,
        "unit": unit_name,
        "units": units,
        "resamples": 0 if samples is None else drawn,
        "runs": [
            {"name": name, **_interval(points[i], None if samples is None else samples[i])}
            for i, name in enumerate(names)
        ],
        "pairs": rows,
    }


def _samples(sets: Sequence[Predictions], score: str, count: int, seed: int) -> Floats | None:
    """Return the score of each set in the same bootstrap samples, float64 [sets, count]."""
    units = sorted(set(sets[0].units))
    if count == 0 or len(units) < 2:
        return None
    samplers = [Resampler(one, units, ranked=score in RANKED) for one in sets]
    width = max(sampler.width for sampler in samplers)
    draws = unit_weights(rng(seed, "paired difference"), len(units), count, width)
    chunks = [[s.scores(weights).overall[score] for s in samplers] for weights in draws]
    return np.concatenate([np.stack(chunk) for chunk in chunks], axis=1)


def _pair(
    names: Sequence[str],
    points: Sequence[float | None],
    samples: Floats | None,
    units: int,
    i: int,
    j: int,
) -> dict[str, Any]:
    before, after = points[i], points[j]
    value = None if before is None or after is None else after - before
    drawn = None if samples is None or value is None else samples[j] - samples[i]
    return {
        "first": names[i],
        "second": names[j],
        "difference": _interval(value, drawn),
        "p": unit_p(drawn, units),
        "p_holm": None,
        "mcnemar": None,
        "verdict": NOT_SHOWN,
    }


def _interval(value: float | None, drawn: Floats | None) -> dict[str, float | None]:
    low, high = percentile_interval(value, drawn)
    return {"value": value, "low": low, "high": high}


def _correct_and_judge(rows: list[dict[str, Any]], score: str) -> None:
    """Fill in Holm's columns and the verdicts."""
    by_units = holm([row["p"] for row in rows])
    by_images = holm([row["mcnemar"]["p"] for row in rows])
    for row, p, other in zip(rows, by_units, by_images, strict=True):
        row["p_holm"], row["mcnemar"]["p_holm"] = p, other
        row["verdict"] = verdict(row["difference"]["value"], p, score)


def verdict(difference: float | None, p: float | None, score: str) -> str:
    """Return what a difference (second - first) with its corrected p says of the second."""
    if difference is None or p is None or p >= 1 - LEVEL or difference == 0:
        return NOT_SHOWN
    gain = -difference if score in LOWER_IS_BETTER else difference
    return BETTER if gain > 0 else WORSE
