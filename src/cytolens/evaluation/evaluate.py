"""Pooled predictions → the content of `metrics.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cytolens.core.errors import InputError, LeakError
from cytolens.core.registry import did_you_mean
from cytolens.evaluation.calibration import reliability
from cytolens.evaluation.checks import require_complete
from cytolens.evaluation.counts import ScoreArrays
from cytolens.evaluation.intervals import LEVEL, RESAMPLES, bootstrap, percentile_interval
from cytolens.evaluation.metrics import OVERALL, PER_CLASS, PointScores, confusion, point_scores
from cytolens.evaluation.predictions import Predictions

PROTOCOLS = ("honest", "published")
UNITS = ("group", "near-duplicate cluster", "image")


def evaluate(
    predictions: Predictions,
    *,
    protocol: str,
    leaks: Sequence[str],
    unit_name: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Score pooled predictions once, with 95 % intervals over whole units.

    With repeats, scores and the confusion matrix are of all rows together (every repeat counts an
    image once), `n` and `support` count images, and the units are drawn jointly over the repeats.

    Args:
        predictions: every image exactly once a repeat.
        protocol: "honest", or "published" for splits that may leak.
        leaks: the reasons why the numbers leak; only "published" may have any.
        unit_name: what `predictions.units` are: "group", "near-duplicate cluster" or "image".
        resamples: bootstrap samples; 0 gives no intervals.
        seed: seed of the bootstrap.

    Returns:
        strict-JSON data of the structure "Metrics" in docs/architecture.md; None where undefined.

    Raises:
        InputError: unknown protocol or unit, a missing fold or image, negative resamples.
        LeakError: an honest protocol with leaks.
    """
    _require_member(protocol, "protocol", PROTOCOLS)
    _require_member(unit_name, "unit", UNITS)
    if protocol == "honest" and leaks:
        raise LeakError(
            "The protocol is called honest, but test data leaks into training.",
            rows=list(leaks),
            fix='repair the split, or set protocol = "published" and have every number stamped.',
        )
    require_complete(predictions)
    labels, probabilities = predictions.labels, predictions.probabilities
    matrix = confusion(labels, predictions.predicted, len(predictions.classes))
    points = point_scores(labels, probabilities)
    samples = bootstrap(predictions, resamples=resamples, seed=seed)
    return {
        "protocol": protocol,
        "leaks": list(leaks),
        "n": predictions.images,
        "classes": list(predictions.classes),
        "confusion": matrix.tolist(),
        "interval": {
            "level": LEVEL,
            "unit": unit_name,
            "units": len(set(predictions.units)),
            "resamples": resamples,
        },
        **{name: _overall(name, points, samples) for name in OVERALL},
        "per_class": _per_class(predictions, points, samples),
        "reliability": reliability(labels, probabilities),
    }


def _require_member(value: str, what: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(
            f"Unknown {what} {value!r}{did_you_mean(value, known)}.",
            expected=f"one of {', '.join(known)}",
        )


def _overall(name: str, points: PointScores, samples: ScoreArrays | None) -> dict[str, Any]:
    value = points.overall[name]
    low, high = percentile_interval(value, None if samples is None else samples.overall[name])
    return {"value": value, "low": low, "high": high}


def _per_class(
    predictions: Predictions, points: PointScores, samples: ScoreArrays | None
) -> dict[str, Any]:
    labels = dict(zip(predictions.ids, predictions.labels.tolist(), strict=True))
    support = [0] * len(predictions.classes)
    for label in labels.values():
        support[label] += 1
    table: dict[str, Any] = {}
    for index, name in enumerate(predictions.classes):
        row: dict[str, Any] = {"support": support[index]}
        for score in PER_CLASS:
            value = points.per_class[score][index]
            column = None if samples is None else samples.per_class[score][:, index]
            low, high = percentile_interval(value, column)
            row[score] = {"value": value, "low": low, "high": high}
        table[name] = row
    return table
