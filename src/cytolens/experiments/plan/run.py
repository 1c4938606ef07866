"""Plan and run in one go: once, or once in each fold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json, write_text, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.audit import audit
from cytolens.data.facts import scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.evaluation import Predictions, pool
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.folder import workplace
from cytolens.experiments.plan.make import Question, make_plan
from cytolens.experiments.plan.outer import Part
from cytolens.experiments.plan.write import PlanFiles, identity, read_plan, write_plan
from cytolens.experiments.predictions_file import read_predictions, write_predictions
from cytolens.experiments.preparation import relabel
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.run import run_recipe
from cytolens.experiments.scores import all_scores, subgroup_columns
from cytolens.report.run_report import write_run_report
from cytolens.splits.split import Split, read_split
from cytolens.training.loop import device_for

_HEADER = "# Not a recipe that can be run: each fold was planned and run by itself.\n"


def default_place(manifest: Manifest) -> Path:
    """Return where the run of a plan goes unless told."""
    return Path("runs") / f"planned-{manifest.name}"


def run_plan(
    manifest: Manifest,
    question: Question,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Plan, then run the recipe; the plan lies beside the run as `OUT-plan.toml`.

    What was cut off is resumed by the same call; a plan that is there is not made again.

    Raises:
        InputError: what `make_plan` and `run_recipe` raise, or a plan of other images there.
    """
    progress = progress or Silent()
    files = PlanFiles(out.with_name(f"{out.name}-plan.toml"))
    recipe = _planned(manifest, question, files, overwrite, progress)
    return run_recipe(recipe, manifest, out, overwrite=overwrite, progress=progress)


def _planned(
    manifest: Manifest, question: Question, files: PlanFiles, overwrite: bool, progress: Progress
) -> Recipe:
    """Return the recipe of the plan that is there, or make one."""
    answers = identity(manifest, question)
    try:
        if found := read_plan(files, answers):
            progress.say(f"going on with {files.recipe}")
            return found
    except InputError:
        if not overwrite:
            raise
    plan = make_plan(manifest, question, progress=progress)
    progress.say(f"{plan.content['chosen']}: {plan.content['reason']}")
    return write_plan(plan, files, answers)


def run_nested(
    manifest: Manifest,
    question: Question,
    folds: int,
    out: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Plan inside the training part of each fold, run each plan, and pool the test predictions.

    This is the honest number of planning itself: no fold's choice knew its test part. The plans
    and runs of the folds lie in `OUT-folds`; `OUT` has their predictions, scores and report, and
    no model.

    Args:
        question: its budget is that of each fold.
        folds: of the grouped k-fold.

    Raises:
        InputError: what `make_plan` and `run_recipe` raise.
    """
    progress = progress or Silent()
    clock = Clock()
    place_of_folds = out.with_name(f"{out.name}-folds")
    parts = [Part(number + 1, folds) for number in range(folds)]
    with workplace(out, overwrite=overwrite) as place:
        place.claim({"question": identity(manifest, question), "folds": folds})
        runs = []
        with clock.stage("plan and run the folds"):
            for part in parts:
                progress.say(f"fold {part}")
                runs.append(
                    _one_fold(manifest, question, part, place_of_folds, overwrite, progress)
                )
        recipes = [load_recipe(run.with_suffix(".toml")) for run in runs]
        labelled = relabel(manifest, recipes[0])
        with clock.stage("evaluate"):
            predictions = _pooled(runs, labelled)
            metrics = _scores(predictions, labelled, recipes[0], runs[0])
        path = place.path
        plans = [read_json(PlanFiles(run.with_suffix(".toml")).plan, "plan") for run in runs]
        split = _joined_split(recipes, labelled)
        with writing(path, "the run"):
            labelled.write(path / "manifest.csv", with_ids=True)
            report = audit(labelled, scan_or_fail(labelled), {}, split.to_json())
            write_json(path / "audit.json", report)
            split.write(path / "split.json")
            write_predictions(path / "predictions.parquet", predictions)
            write_json(path / "metrics.json", metrics)
            write_text(path / "recipe.toml", _HEADER + tomli_w.dumps(_content(recipes, plans)))
            notes = [
                f"fold {part}: {plan['reason']}" for part, plan in zip(parts, plans, strict=True)
            ]
            described = describe(clock, "as in the folds", str(device_for()), notes)
            write_json(path / "environment.json", described)
            write_run_report(path)
        return place.finish()


def _one_fold(
    manifest: Manifest,
    question: Question,
    part: Part,
    folder: Path,
    overwrite: bool,
    progress: Progress,
) -> Path:
    run = folder / f"fold-{part.number}"
    asked = replace(question, part=part)
    files = PlanFiles(run.with_suffix(".toml"))
    if overwrite and _answers_another(files, identity(manifest, asked)):
        for old in (run, run.with_name(f"{run.name}.partial")):
            shutil.rmtree(old, ignore_errors=True)
    recipe = _planned(manifest, asked, files, overwrite, progress)
    if (run / "metrics.json").exists():
        return run
    return run_recipe(recipe, manifest, run, progress=progress)


def _answers_another(files: PlanFiles, answers: str) -> bool:
    """Whether the plan that is there will be made anew, so that its run goes with it."""
    try:
        read_plan(files, answers)
    except InputError:
        return True
    return False


def _pooled(runs: list[Path], manifest: Manifest) -> Predictions:
    """Join the predictions; fold i is that of the i-th run."""
    parts = []
    for number, run in enumerate(runs):
        found = read_predictions(run / "predictions.parquet", manifest.classes)
        parts.append(replace(found, folds=np.full(len(found), number, dtype=np.int64)))
    return pool(parts, expected=set(manifest.ids))


def _scores(
    predictions: Predictions, manifest: Manifest, recipe: Recipe, run: Path
) -> dict[str, Any]:
    unit = read_json(run / "metrics.json", "metrics of a run")["interval"]["unit"]
    return all_scores(
        predictions,
        subgroup_columns(manifest),
        protocol="honest",
        leaks=(),
        unit_name=unit,
        cost=recipe.cost,
        resamples=recipe.evaluation.resamples,
        seed=recipe.seed,
    )


def _joined_split(recipes: list[Recipe], manifest: Manifest) -> Split:
    splits = [read_split(Path(recipe.split.file), manifest) for recipe in recipes]
    folds = tuple(replace(split.folds[0], fold=i) for i, split in enumerate(splits))
    notes = tuple(dict.fromkeys(note for split in splits for note in split.notes))
    return replace(splits[0], folds=folds, notes=notes)


def _content(recipes: list[Recipe], plans: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": f"planned in each of {len(recipes)} folds",
        "about": "Settings were chosen anew inside the training part of each fold.",
        "protocol": "honest",
        "seed": recipes[0].seed,
        "planned": {"chosen": [plan["chosen"] for plan in plans], "score": plans[0]["score"]},
        "cost": to_dict(recipes[0].cost),
    }
