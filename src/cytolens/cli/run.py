"""`cytolens run`: a recipe and a manifest become a run."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out, print_json


def run(
    recipe: str = typer.Argument(..., help="A TOML file, or a name of `cytolens recipes`."),
    data: Path = typer.Option(..., "--data", help="Manifest, or folder of class folders."),
    target: Path = typer.Option(None, "--out", help="Run folder. [default: runs/RECIPE-DATA]"),
    settings: list[str] = typer.Option([], "--set", help="section.key=value, repeatable."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a finished run."),
    as_json: bool = typer.Option(False, "--json", help="Print metrics.json."),
) -> None:
    """Train, evaluate honestly and report; a run that was cut off is resumed."""
    from cytolens.core.files import read_json
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.recipe import load_recipe
    from cytolens.experiments.run import run_recipe

    chosen = load_recipe(recipe, settings)
    manifest = read_manifest(data)
    folder = run_recipe(chosen, manifest, target, overwrite=overwrite, progress=Bars())
    metrics = read_json(folder / "metrics.json", "metrics file")
    if as_json:
        print_json(metrics)
        return
    from cytolens.report.text import score_text

    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc"):
        out.print(f"{name.replace('_', ' '):<18} {score_text(metrics[name])}", markup=False)
    if metrics["leaks"]:
        out.print("LEAKS: " + "; ".join(metrics["leaks"]), style="bold red", markup=False)
    out.print(f"report             {folder / 'report.html'}", markup=False)
