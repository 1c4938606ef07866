"""`cytolens plan`: a manifest becomes a commented recipe."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out, print_json


def plan(
    manifest: Path = typer.Argument(..., help="Manifest, or folder of class folders."),
    target: Path = typer.Option(Path("recipe.toml"), "--out", help="Where the recipe is written."),
    budget: str = typer.Option("15m", help="Time for planning, such as 90s, 15m or 1h."),
    fold: str = typer.Option(
        None, help="Test part: fold i/k of the grouped k-fold. [default: a holdout]"
    ),
    score: str = typer.Option("accuracy", help="What candidates are compared by."),
    settings: list[str] = typer.Option([], "--set", help="section.key=value for all candidates."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier plan."),
    as_json: bool = typer.Option(False, "--json", help="Print plan.json."),
) -> None:
    """Lock a test part, try settings on the rest, and write the recipe that does best there."""
    from cytolens.core.files import read_json
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.plan.budget import parse_budget
    from cytolens.experiments.plan.make import Question, make_plan
    from cytolens.experiments.plan.outer import parse_part
    from cytolens.experiments.plan.write import PlanFiles, identity, write_plan

    files = PlanFiles(target)
    files.check(overwrite=overwrite)
    part = parse_part(fold) if fold is not None else None
    question = Question(parse_budget(budget), part, score, tuple(settings))
    images = read_manifest(manifest)
    made = make_plan(images, question, progress=Bars())
    write_plan(made, files, identity(images, question))
    if as_json:
        print_json(read_json(files.plan, "plan"))
        return
    out.print(f"{made.content['chosen']}: {made.content['reason']}", markup=False)
    for note in made.content["notes"]:
        out.print(note, style="yellow", markup=False)
    out.print(f"recipe  {files.recipe}", markup=False)
    out.print(f"split   {files.split}", markup=False)
    out.print(f"plan    {files.plan}", markup=False)
