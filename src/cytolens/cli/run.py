"""`cytolens run`: a recipe and a manifest become a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cytolens.cli.console import Bars, out, print_json, show_scores
from cytolens.cli.engine import ADDRESS, DEVICES, ENGINE, THREADS, where

if TYPE_CHECKING:
    from cytolens.data.manifest import Manifest
    from cytolens.experiments.plan.make import Question

_PLANNING = {"budget": "15m", "fold": None, "folds": None, "score": "accuracy"}


def run(
    recipe: str = typer.Argument(None, help="A TOML file, or a name of `cytolens recipes`."),
    data: Path = typer.Option(..., "--data", help="Manifest, or folder of class folders."),
    target: Path = typer.Option(None, "--out", help="Run folder. [default: runs/RECIPE-DATA]"),
    settings: list[str] = typer.Option([], "--set", help="section.key=value, repeatable."),
    plan: bool = typer.Option(False, "--plan", help="Choose the recipe first, as `plan` does."),
    budget: str = typer.Option("15m", help="With --plan: time for planning."),
    fold: str = typer.Option(None, help="With --plan: test part, fold i/k."),
    folds: int = typer.Option(None, help="With --plan: plan and run in each of k folds."),
    score: str = typer.Option("accuracy", help="With --plan: what candidates are compared by."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a finished run."),
    profile: bool = typer.Option(False, "--profile", help="Also tell where the time went."),
    engine: str = ENGINE,
    address: str = ADDRESS,
    threads: int = THREADS,
    devices: int = DEVICES,
    as_json: bool = typer.Option(False, "--json", help="Print metrics.json."),
) -> None:
    """Train, evaluate honestly and report; a run that was cut off is resumed."""
    asked = {"budget": budget, "fold": fold, "folds": folds, "score": score}
    _check_usage(recipe, plan, asked)
    if plan and (profile or engine != "local" or devices != 1):
        raise typer.BadParameter("--profile, --engine and --devices have no effect with --plan.")
    if launched := os.environ.get("TORCHELASTIC_RUN_ID"):
        devices = _of_torchrun(plan, engine, devices)
    place = where(engine, address, threads, devices)
    if launched and int(os.environ["RANK"]):
        from cytolens.experiments.cluster.devices import learn_along

        learn_along()
        return
    from cytolens.core.files import read_json
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.recipe import load_recipe
    from cytolens.experiments.run import run_recipe

    if plan:
        question = _question(budget, fold, score, settings)
        folder = _run_planned(read_manifest(data), question, folds, target, overwrite)
    else:
        chosen = load_recipe(recipe, settings)
        manifest = read_manifest(data)
        folder = run_recipe(
            chosen,
            manifest,
            target,
            overwrite=overwrite,
            where=place,
            profiled=profile,
            progress=Bars(),
        )
    metrics = read_json(folder / "metrics.json", "metrics file")
    if as_json:
        print_json(metrics)
        return
    show_scores(metrics)
    out.print(f"report             {folder / 'report.html'}", markup=False)


def _check_usage(recipe: str | None, plan: bool, asked: dict[str, object]) -> None:
    """Refuse a recipe and a plan at once, neither of them, and options without effect."""
    if plan and recipe is not None:
        raise typer.BadParameter("a plan chooses the recipe: give one of RECIPE and --plan.")
    if not plan and recipe is None:
        raise typer.BadParameter("give a RECIPE, or --plan.")
    if idle := [f"--{name}" for name, value in asked.items() if value != _PLANNING[name]]:
        if not plan:
            raise typer.BadParameter(f"{', '.join(idle)} has no effect without --plan.")
    if asked["fold"] is not None and asked["folds"] is not None:
        raise typer.BadParameter("give one of --fold and --folds.")
    if isinstance(asked["folds"], int) and asked["folds"] < 2:
        raise typer.BadParameter("--folds must be at least 2.")


def _of_torchrun(plan: bool, engine: str, devices: int) -> int:
    """Return how many processes torchrun started."""
    if plan or engine != "local" or devices != 1:
        raise typer.BadParameter(
            "torchrun starts the devices of a run: leave out --plan, --engine and --devices."
        )
    return int(os.environ["WORLD_SIZE"])


def _question(budget: str, fold: str | None, score: str, settings: list[str]) -> Question:
    from cytolens.experiments.plan.budget import parse_budget
    from cytolens.experiments.plan.make import Question
    from cytolens.experiments.plan.outer import parse_part

    part = parse_part(fold) if fold is not None else None
    return Question(parse_budget(budget), part, score, tuple(settings))


def _run_planned(
    manifest: Manifest, question: Question, folds: int | None, target: Path | None, overwrite: bool
) -> Path:
    from cytolens.experiments.plan.run import default_place, run_nested, run_plan

    place = target or default_place(manifest)
    if folds is None:
        return run_plan(manifest, question, place, overwrite=overwrite, progress=Bars())
    return run_nested(manifest, question, folds, place, overwrite=overwrite, progress=Bars())
