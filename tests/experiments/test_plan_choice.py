"""The choice: the shipped recipe stays unless another one is shown to beat it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.evaluation import Predictions, paired_difference
from cytolens.experiments.plan.budget import Watch, parse_budget
from cytolens.experiments.plan.candidates import FINETUNE, FROZEN, Candidate
from cytolens.experiments.plan.choose import choose
from cytolens.experiments.plan.fingerprint import share_between
from cytolens.experiments.plan.inner import Judged
from cytolens.experiments.plan.outer import parse_part
from cytolens.experiments.plan.speed import Probe, Speed, feature_rows, further_rows, with_epochs
from cytolens.experiments.plan.trial import Trial, lead
from cytolens.experiments.recipe import load_recipe

N = 40


def _trial(name: str, right: Sequence[bool], sure: float = 0.8, fold: int = 0) -> Trial:
    """A trial with given hits on 40 images of two classes, each image its own unit."""
    labels = np.arange(len(right)) % 2
    predicted = np.where(right, labels, 1 - labels)
    probabilities = np.where(np.arange(2) == predicted[:, None], sure, 1 - sure)
    ids = [f"{fold}-{i}" for i in range(len(right))]
    zeros = np.zeros(len(right), dtype=np.int64)
    found = Predictions(ids, labels, probabilities, ("a", "b"), zeros, zeros, ids)
    base = FROZEN if name.startswith(FROZEN) else FINETUNE
    candidate = Candidate(name, base, (), "", load_recipe(base))
    return Trial(candidate, 1, {fold: Judged(found, 1.0)})


def _hits(count: int) -> list[bool]:
    return [i < count for i in range(N)]


def test_the_reference_stays_when_nothing_is_shown_to_beat_it() -> None:
    reference, other = _trial(FINETUNE, _hits(24)), _trial("finetune-224", _hits(25))
    found = choose([other, reference], reference, "accuracy", 0)
    assert found.trial is reference and found.reason.startswith(
        "finetune stays: no candidate is shown"
    )
    assert found.leads["finetune-224"].gain == pytest.approx(1 / N)
    assert found.leads["finetune-224"].error == pytest.approx(math.sqrt(1) / N, rel=0.2)


def test_a_clear_lead_wins_and_the_largest_one_of_several() -> None:
    reference = _trial(FINETUNE, _hits(20))
    better, best = _trial("finetune-224", _hits(28)), _trial("frozen-flips", _hits(36))
    found = choose([reference, better, best], reference, "accuracy", 0)
    assert found.trial is best
    assert "frozen-flips is ahead of finetune in accuracy by 0.400" in found.reason


def test_equal_leads_are_decided_by_the_log_loss() -> None:
    reference = _trial(FINETUNE, _hits(20))
    doubtful, sure = _trial("finetune-224", _hits(36), 0.6), _trial("finetune-half", _hits(36), 0.9)
    assert choose([reference, doubtful, sure], reference, "accuracy", 0).trial is sure


def test_a_score_that_is_better_when_lower_is_turned_round() -> None:
    reference, worse = _trial(FINETUNE, _hits(36), 0.9), _trial("finetune-224", _hits(20), 0.9)
    assert choose([reference, worse], reference, "log_loss", 0).trial is reference
    assert choose([reference, worse], worse, "log_loss", 0).trial is reference


def test_only_images_that_both_predicted_are_compared() -> None:
    reference = _trial(FINETUNE, _hits(20))
    other = _trial(FROZEN, _hits(30))
    other.parts[1] = _trial(FROZEN, _hits(0), fold=1).parts[1]
    found = lead(other, reference, "accuracy", 0)
    assert (found.gain, found.images) == (pytest.approx(0.25), N)


def test_the_standard_error_is_the_bootstraps_and_at_least_mcnemars() -> None:
    reference, other = _trial(FINETUNE, _hits(20)), _trial(FROZEN, _hits(30))
    drawn = paired_difference(reference.on({0}), other.on({0}), resamples=500)
    assert drawn.low is not None and drawn.high is not None
    floor = math.sqrt(10) / N
    found = lead(other, reference, "accuracy", 0)
    assert found.error == pytest.approx(max((drawn.high - drawn.low) / 3.92, floor), rel=1e-3)
    assert found.error is not None and found.error >= floor


def test_one_fold_takes_two_standard_errors_and_two_folds_one() -> None:
    reference, other = _trial(FINETUNE, _hits(20)), _trial(FROZEN, _hits(23))
    alone = lead(other, reference, "accuracy", 0)
    assert alone.gain is not None and alone.error is not None
    assert alone.error < alone.gain < 2 * alone.error and not alone.shown
    for trial, hits in ((reference, 20), (other, 23)):
        trial.parts[1] = _trial(trial.name, _hits(hits), fold=1).parts[1]
    both = lead(other, reference, "accuracy", 0)
    assert (both.folds, both.needed, both.shown) == (2, 1, True)


def test_nothing_tried_is_decided_by_rule() -> None:
    first = Trial(_trial(FROZEN, _hits(1)).candidate, 50)
    found = choose([first], None, "accuracy", 0)
    assert found.trial is first and found.reason.startswith("by rule")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h", 3600), ("1h30m", 5400), ("1.5m", 90), (" 2M ", 120)],
)
def test_budgets(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0m", "-5m", "m", "5m1h", "ten minutes", "5 m"])
def test_a_budget_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r'such as "90s", "15m", "1h"'):
        parse_budget(text)


def test_a_watch_counts_down() -> None:
    times = iter([100.0, 103.0, 112.0])
    watch = Watch(10, lambda: next(times))
    assert (watch.spent, watch.left) == (3, -2)


def test_folds() -> None:
    assert str(parse_part("2/5")) == "2/5"
    for wrong in ("0/5", "6/5", "1/1", "2", "a/b", "1/5/5"):
        with pytest.raises(InputError, match="is not a fold"):
            parse_part(wrong)


def test_the_share_of_the_variance_between_groups() -> None:
    names = np.array([0, 0, 1, 1])
    assert share_between(np.array([[1.0], [1.0], [3.0], [3.0]]), names) == 1
    assert share_between(np.array([[1.0], [3.0], [1.0], [3.0]]), names) == 0
    assert share_between(np.ones((4, 3)), names) == 0
    mixed = np.array([[0.0], [2.0], [2.0], [4.0]])  # total 8, between 4
    assert share_between(mixed, names) == pytest.approx(0.5)


def test_seconds_are_predicted_from_two_probes() -> None:
    few, many = Probe(20, 3.0, 0.5, 40.0), Probe(120, 4.0, 0.5, 50.0)
    speed = Speed.between(few, many, 100)
    assert speed == Speed(
        start=pytest.approx(2.8), building=0.5, features=pytest.approx(100), training=50, area=100
    )
    recipe = with_epochs(load_recipe(FINETUNE), 4)
    assert recipe.training.warmup == 1 and recipe.training.view_count == 4
    assert with_epochs(recipe, 1).training.warmup == 0
    # 2.8 + 0.5 to begin, 1000 rows at 100 a second, 4 epochs of 100 and a third of 4 x 30 at 50
    assert speed.seconds(recipe, 100, 100, 30, 1000) == pytest.approx(3.3 + 10 + 440 / 50)
    twice = speed.seconds(recipe, 200, 100, 30, 1000)
    assert twice == pytest.approx(3.3 + 20 + 880 / 50), "in proportion to the pixels"
    frozen = load_recipe(FROZEN)
    assert speed.seconds(frozen, 200, 100, 30, 0) == pytest.approx(0.5 + 5010 / 50), "head alone"


def test_rows_of_the_frozen_part() -> None:
    frozen, finetune = load_recipe(FROZEN), load_recipe(FINETUNE)
    assert (feature_rows(frozen, 8, 2), further_rows(frozen, 2)) == (10, 0)
    assert feature_rows(finetune, 8, 2) == 8 * 12 + 2 * 4
    assert further_rows(finetune, 2) == 2 * (12 + 4)


def test_probes_too_alike_count_the_start_as_work() -> None:
    speed = Speed.between(Probe(20, 3.0, 0.0, 40.0), Probe(20, 2.0, 0.0, 40.0), 100)
    assert (speed.features, speed.start) == (10, 1)
