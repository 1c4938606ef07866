"""`cytolens fuse`: several runs become an ensemble."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import out, print_json, show_scores


def fuse(
    runs: list[Path] = typer.Argument(..., metavar="RUN RUN ...", help="Two or more run folders."),
    target: Path = typer.Option(..., "--out", help="Run folder of the ensemble."),
    method: str = typer.Option("mean", help="mean, majority, fuzzy_rank or fuzzy_distance."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a finished run."),
    as_json: bool = typer.Option(False, "--json", help="Print metrics.json."),
) -> None:
    """Make one run of the predictions of several that tested the same images."""
    from cytolens.core.files import read_json
    from cytolens.experiments.fuse import fuse_runs

    folder = fuse_runs(runs, method, target, overwrite=overwrite)
    metrics = read_json(folder / "metrics.json", "metrics file")
    if as_json:
        print_json(metrics)
        return
    show_scores(metrics)
    out.print(f"report             {folder / 'report.html'}", markup=False)
