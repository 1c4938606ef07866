"""`cytolens demo`: the whole way, offline, in two minutes."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out


def demo(
    target: Path = typer.Option(Path("demo"), "--out", help="Folder for the demo."),
    seed: int = typer.Option(0, help="Seed of the phantoms and of both runs."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier demo."),
) -> None:
    """Phantom smears, audit, training, and both protocols side by side in one report."""
    from cytolens.experiments.demo import run_demo

    result = run_demo(target, seed=seed, overwrite=overwrite, progress=Bars())
    for line in result.lines():
        out.print(line, markup=False)
