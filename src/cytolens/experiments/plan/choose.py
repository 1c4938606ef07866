"""The choice: the shipped recipe, unless another one is shown to beat it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cytolens.evaluation import point_scores
from cytolens.experiments.plan.trial import Lead, Trial, lead


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        trial: the chosen one.
        reference: what all others were compared with; None where nothing was tried.
        leads: how far each other trial is ahead of the reference, by name.
        reason: in a sentence.
    """

    trial: Trial
    reference: Trial | None
    leads: dict[str, Lead]
    reason: str


def choose(trials: Sequence[Trial], reference: Trial | None, score: str, seed: int) -> Choice:
    """Choose a trial.

    Chance alone puts one of many candidates in front. So the reference stays unless another is
    better by more than one standard error of the paired difference (two where only one inner fold
    was compared); of several such ones, the one that is furthest ahead is taken, and among equals
    the one with the lower log loss.

    Args:
        trials: at least one; the first one is taken where nothing was tried.
        reference: the shipped recipe that was judged, or None.
        score: a name of `evaluation.OVERALL`.
        seed: of the bootstrap.
    """
    if reference is None:
        why = "by rule: nothing could be tried"
        if trials[0].candidate.frozen:
            why += ", and a frozen backbone needs the fewest images and the least time"
        return Choice(trials[0], None, {}, why)
    others = [t for t in trials if t is not reference and set(t.parts) & set(reference.parts)]
    leads = {trial.name: lead(trial, reference, score, seed) for trial in others}
    winners = [trial for trial in others if leads[trial.name].shown]
    words = score.replace("_", " ")
    if not winners:
        why = f"no candidate is shown to be better in {words}"
        if not others:
            why = "nothing else could be compared with it"
        return Choice(reference, reference, leads, f"{reference.name} stays: {why}")

    def rank(trial: Trial) -> tuple[float, float]:
        return -(leads[trial.name].gain or 0.0), _log_loss(trial, reference)

    best = min(winners, key=rank)
    found = leads[best.name]
    assert found.gain is not None and found.error is not None, "a lead that is shown has both"
    errors = "one standard error" if found.needed == 1 else "two standard errors"
    reason = (
        f"{best.name} is ahead of {reference.name} in {words} by {found.gain:.3f}, more than "
        f"{errors} ({found.needed * found.error:.3f}), on {found.images} images"
    )
    return Choice(best, reference, leads, reason)


def _log_loss(trial: Trial, reference: Trial) -> float:
    found = trial.on(set(trial.parts) & set(reference.parts))
    value = point_scores(found.labels, found.probabilities).overall["log_loss"]
    return float("inf") if value is None else value
