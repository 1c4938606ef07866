"""Make a plan: lock a test part, look at the rest, try candidates there, choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cytolens.core.config import assign, from_dict
from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.core.registry import did_you_mean
from cytolens.data.facts import scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.evaluation import OVERALL
from cytolens.experiments.plan import candidates
from cytolens.experiments.plan.backbones import Backbones, backbones_at_hand
from cytolens.experiments.plan.budget import Watch
from cytolens.experiments.plan.candidates import FROZEN, Candidate, build
from cytolens.experiments.plan.choose import Choice, choose
from cytolens.experiments.plan.fingerprint import Fingerprint, fingerprint, require_two_classes
from cytolens.experiments.plan.inner import Judge, inner_folds
from cytolens.experiments.plan.outer import Part, outer_split
from cytolens.experiments.plan.race import Race
from cytolens.experiments.plan.trial import Trial
from cytolens.experiments.preparation import relabel
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.splits.split import Split

BUDGET = 900.0  # seconds
_DECIDED_HERE = ("split", "expand", "classifier", "protocol", "name", "about")


@dataclass(frozen=True)
class Question:
    """What a plan is asked for.

    Attributes:
        budget: seconds for planning; the run of the recipe comes on top.
        part: a fold of the grouped k-fold as the test part; None: a holdout.
        score: that candidates are compared by.
        settings: `--set` texts that hold for every candidate.
    """

    budget: float = BUDGET
    part: Part | None = None
    score: str = "accuracy"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        recipe: the chosen one; its split is the file that `write_plan` names.
        split: one fold, whose test part nobody has looked at.
        content: of `plan.json`.
    """

    recipe: Recipe
    split: Split
    content: dict[str, Any]


def make_plan(
    manifest: Manifest,
    question: Question,
    *,
    progress: Progress | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Plan:
    """Choose a recipe for a set of images.

    The outer split is made first. From then on only its training part is looked at.

    Args:
        manifest: the images.
        question: see above.
        progress: told of what is tried.
        now: gives the time in seconds.

    Raises:
        InputError: unusable images, one class, classes too small to be split, a wrong setting.
    """
    progress, watch = progress or Silent(), Watch(question.budget, now)
    base = _base(question)
    labelled = relabel(manifest, base)
    split = outer_split(labelled, question.part, base.seed, progress)
    training = labelled.select(split.folds[0].rows("train", labelled))
    choice, facts = _choose(training, question, base.seed, watch, progress)
    chosen = choice.trial.candidate
    recipe = replace(chosen.recipe, about=f"Planned for {manifest.name}: {chosen.name}.")
    content = {
        "data": manifest.name,
        "test_part": str(question.part) if question.part else "holdout",
        "training_images": len(training),
        "test_images": len(split.folds[0].test),
        "score": question.score,
        "settings": list(question.settings),
        "budget_seconds": question.budget,
        "spent_seconds": round(watch.spent, 1),
        "chosen": chosen.name,
        "reason": choice.reason,
        **facts,
        "notes": [*split.notes, *facts["notes"]],
    }
    return Plan(recipe, split, content)


def _choose(
    training: Manifest, question: Question, seed: int, watch: Watch, progress: Progress
) -> tuple[Choice, dict[str, Any]]:
    """Choose by the training part alone; also return facts for `plan.json`."""
    require_two_classes(training)
    backbones = backbones_at_hand()
    images = scan_or_fail(training)
    found = fingerprint(training, images, backbones, seed)
    first, notes = _presets(found, backbones, question.settings)
    for note in notes:
        progress.say(note)
    inner, why_not = inner_folds(training, images, seed)
    told: dict[str, Any] = {"fingerprint": asdict(found), "inner": None, "speed": []}
    if inner is None:
        notes.append(f"by rules alone, without inner validation: {why_not}")
        progress.say(notes[-1])
        skipped = [_untried(one, "not tried: too few images to validate inside") for one in first]
        choice = choose(skipped, None, question.score, seed)
        trials: list[Trial] = skipped
    else:
        notes += inner.notes
        told["inner"] = {"folds": len(inner.folds), "unit": inner.data.units.kind}
        race = Race(Judge(inner, progress), watch, question.score, progress)
        notes += _try_all(race, first, found, question.settings)
        trials = race.trials
        told["speed"] = race.speed_facts()
        choice = choose(trials, race.reference, question.score, seed)
        if choice.reference is not None and choice.reference.candidate.frozen:
            notes += [
                f"{t.name} {t.skipped}; a larger --budget would try it"
                for t in trials
                if t.skipped and t.name == candidates.FINETUNE
            ]
    told |= {"notes": notes, **_told(choice, trials, question.score, seed)}
    return choice, told


def _try_all(
    race: Race, first: Sequence[Candidate], found: Fingerprint, settings: Sequence[str]
) -> list[str]:
    """Run all stages; return the notes."""
    known = list(first)
    race.screen([one for one in known if one.frozen])
    for one in known:
        if not one.frozen:
            race.first_training(one)
    more, notes = build(candidates.screened(found), settings, known)
    race.screen([one for one in more if one.frozen])
    known += more
    better = race.backbones_ahead(found.backbones[0])
    last, further = build(candidates.trained(found, better), settings, known)
    race.train([one for one in last if not one.frozen])
    race.confirm()
    return [*notes, *further]


def _presets(
    found: Fingerprint, backbones: Backbones, settings: Sequence[str]
) -> tuple[list[Candidate], list[str]]:
    built, notes = build(candidates.presets(found), settings)
    if not built:
        load_recipe(FROZEN, settings)  # raises, with all that is wrong
        raise InputError("No shipped recipe goes with these settings.", rows=notes)
    return built, [*backbones.notes, *notes]


def _untried(candidate: Candidate, why: str) -> Trial:
    return Trial(candidate, candidate.recipe.training.epochs, skipped=why)


def _told(choice: Choice, trials: Sequence[Trial], score: str, seed: int) -> dict[str, Any]:
    rows = []
    for trial in trials:
        row = trial.to_json(score, seed)
        lead = choice.leads.get(trial.name)
        row["lead"] = None if lead is None else asdict(lead)
        rows.append(row)
    reference = choice.reference
    return {"reference": reference.name if reference else None, "candidates": rows}


def _base(question: Question) -> Recipe:
    """Check the question; return a recipe with the settings that say what the data is.

    Raises:
        InputError: an unknown score, or a setting that a plan decides by itself.
    """
    if question.score not in OVERALL:
        raise InputError(
            f"Unknown score {question.score!r}{did_you_mean(question.score, OVERALL)}.",
            expected=f"one of {', '.join(OVERALL)}",
        )
    content: dict[str, Any] = {}
    for setting in question.settings:
        assign(content, setting)
    taken = [name for name in _DECIDED_HERE if name in content]
    training = content.get("training")
    if isinstance(training, dict) and "regime" in training:
        taken.append("training.regime")
    if taken:
        raise InputError(
            f"A plan decides {', '.join(taken)} by itself, or leaves it alone.",
            expected="settings of other tables, such as data.label_map, seed or model.backbone",
            fix="leave it out, and edit the written recipe.",
        )
    known: dict[str, Any] = {n: v for n, v in content.items() if n in ("seed", "data")}
    return from_dict(Recipe, known, "--set")
