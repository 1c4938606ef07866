"""The difference of a score between two prediction sets, with a 95 % interval over whole units."""

from __future__ import annotations

from dataclasses import dataclass

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.core.seeding import rng
from cytolens.evaluation.checks import counted
from cytolens.evaluation.common import truths
from cytolens.evaluation.counts import Floats
from cytolens.evaluation.intervals import RESAMPLES, percentile_interval
from cytolens.evaluation.metrics import OVERALL, point_scores
from cytolens.evaluation.predictions import Predictions
from cytolens.evaluation.resampling import RANKED, Resampler, joined, resampled, unit_weights


@dataclass(frozen=True)
class Difference:
    """`value` is the score of the second set minus that of the first; None where undefined."""

    score: str
    value: float | None
    low: float | None
    high: float | None
    resamples: int
    paired: bool


def paired_difference(
    first: Predictions,
    second: Predictions,
    score: str = "accuracy",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two models on the same images: the same units are drawn for both.

    Args:
        first, second: predictions of the same images, with the same labels, units and classes.
        score: a name of `metrics.OVERALL`.
        resamples: bootstrap samples.
        seed: seed of the bootstrap.

    Raises:
        InputError: an unknown score, or the sets differ in images, labels, units or classes.
    """
    require_score(score)
    _require_same_images(first, second)
    names = sorted(set(first.units))
    samples: Floats | None = None
    if resamples > 0 and len(names) > 1:
        ranked = score in RANKED
        pair = [Resampler(one, names, ranked=ranked) for one in (first, second)]
        width = max(sampler.width for sampler in pair)
        draws = unit_weights(rng(seed, "paired difference"), len(names), resamples, width)
        chunks = [[sampler.scores(weights) for sampler in pair] for weights in draws]
        before, after = (joined(side).overall[score] for side in zip(*chunks, strict=True))
        samples = after - before
    return _difference(first, second, score, samples, resamples, paired=True)


def unpaired_difference(
    first: Predictions,
    second: Predictions,
    score: str = "accuracy",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare two sets that need not share images: each is drawn by itself.

    Where they do share images, the interval is wider than need be; it never gains by the overlap.

    Args, Raises: as in `paired_difference`, but images and classes may differ.
    """
    require_score(score)
    samples: Floats | None = None
    if resamples > 0 and min(len(set(first.units)), len(set(second.units))) > 1:
        before, after = (
            resampled(
                one, rng(seed, "unpaired difference", side), resamples, ranked=score in RANKED
            ).overall[score]
            for side, one in enumerate((first, second))
        )
        samples = after - before
    return _difference(first, second, score, samples, resamples, paired=False)


def _difference(
    first: Predictions,
    second: Predictions,
    score: str,
    samples: Floats | None,
    resamples: int,
    *,
    paired: bool,
) -> Difference:
    before, after = (
        point_scores(one.labels, one.probabilities).overall[score] for one in (first, second)
    )
    value = None if before is None or after is None else after - before
    low, high = percentile_interval(value, samples)
    return Difference(score, value, low, high, resamples, paired)


def require_score(score: str) -> None:
    """Refuse a name that is not in `metrics.OVERALL`."""
    if score not in OVERALL:
        raise InputError(
            f"Unknown score {score!r}{did_you_mean(score, OVERALL)}.",
            expected=f"one of {', '.join(OVERALL)}",
        )


def _require_same_images(first: Predictions, second: Predictions) -> None:
    if first.classes != second.classes:
        raise InputError(
            "A paired comparison needs the same classes.",
            rows=[", ".join(first.classes), ", ".join(second.classes)],
        )
    one, other = truths(first), truths(second)
    apart = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    if apart:
        raise InputError(
            f"A paired comparison needs the same images; {counted(len(apart), 'image')} differ "
            "in presence, label or unit.",
            rows=apart,
            fix="compare with unpaired_difference.",
        )
