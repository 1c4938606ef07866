"""A candidate with what is known of it so far."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cytolens.evaluation import (
    LOWER_IS_BETTER,
    Predictions,
    bootstrap,
    mcnemar,
    paired_difference,
    percentile_interval,
    point_scores,
)
from cytolens.experiments.plan.candidates import Candidate
from cytolens.experiments.plan.inner import Judged, joined

RESAMPLES = 500
_WIDTH = 2 * 1.959963984540054  # standard errors in a 95 % interval


@dataclass
class Trial:
    """What inner validation says about a candidate.

    Attributes:
        epochs: it was judged with; fewer than its recipe's where time was short.
        parts: what each inner fold gave.
        skipped: why it was not tried, or "".
    """

    candidate: Candidate
    epochs: int
    parts: dict[int, Judged] = field(default_factory=dict)
    skipped: str = ""

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def tried(self) -> bool:
        return bool(self.parts)

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts.values())

    def on(self, folds: set[int]) -> Predictions:
        """Return its predictions on some of its folds."""
        return joined([self.parts[number] for number in sorted(folds)])

    def to_json(self, score: str, seed: int) -> dict[str, Any]:
        """Return what `plan.json` says of it."""
        told: dict[str, Any] = {
            "name": self.name,
            "why": self.candidate.why,
            "base": self.candidate.base,
            "changes": list(self.candidate.changes),
            "tried": self.tried,
            "skipped": self.skipped,
            "epochs": self.candidate.recipe.training.epochs,
            "judged_epochs": self.epochs if self.tried else None,
            "inner_folds": sorted(self.parts),
            "images": 0,
            "seconds": round(self.seconds, 1),
            "score": None,
            "log_loss": None,
        }
        if self.tried:
            found = self.on(set(self.parts))
            overall = point_scores(found.labels, found.probabilities).overall
            drawn = bootstrap(found, resamples=RESAMPLES, seed=seed)
            samples = None if drawn is None else drawn.overall[score]
            low, high = percentile_interval(overall[score], samples)
            told["images"] = found.images
            told["score"] = {"value": overall[score], "low": low, "high": high}
            told["log_loss"] = overall["log_loss"]
        return told


@dataclass(frozen=True)
class Lead:
    """How far a trial is ahead of another on the inner folds both were judged on.

    Attributes:
        gain: difference of the score, positive where the challenger is better; None where it is
            undefined.
        error: standard error of it over units; None with fewer than two units.
        images: it was computed on.
        folds: that these are from.
    """

    gain: float | None
    error: float | None
    images: int
    folds: int

    @property
    def needed(self) -> int:
        """How many standard errors it takes: two on a single fold, one on several."""
        return 2 if self.folds == 1 else 1

    @property
    def shown(self) -> bool:
        """Whether the gain is larger than so many standard errors."""
        if self.gain is None or self.error is None:
            return False
        return self.gain > 0 and self.gain > self.needed * self.error


def lead(challenger: Trial, reference: Trial, score: str, seed: int) -> Lead:
    """Compare two trials by a paired bootstrap over units.

    With few units a bootstrap may see no variation at all. The standard error is therefore at
    least McNemar's (1947): the root of the number of images that only one of the two has right, by
    the number of images.
    """
    folds = set(challenger.parts) & set(reference.parts)
    before, after = reference.on(folds), challenger.on(folds)
    found = paired_difference(before, after, score, resamples=RESAMPLES, seed=seed)
    if found.value is None or not math.isfinite(found.value):
        return Lead(None, None, before.images, len(folds))
    gain = -found.value if score in LOWER_IS_BETTER else found.value
    if found.low is None or found.high is None:
        return Lead(gain, None, before.images, len(folds))
    error = max((found.high - found.low) / _WIDTH, _mcnemar_error(before, after))
    return Lead(gain, error, before.images, len(folds))


def _mcnemar_error(before: Predictions, after: Predictions) -> float:
    found = mcnemar(before, after)
    return math.sqrt(found.only_first + found.only_second) / before.images
