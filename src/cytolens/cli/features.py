"""`cytolens features`: compute what is frozen before any run needs it."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out, print_json
from cytolens.cli.engine import ADDRESS, ENGINE, THREADS, where


def features(
    recipe: str = typer.Argument(..., help="A TOML file, or a name of `cytolens recipes`."),
    data: Path = typer.Option(..., "--data", help="Manifest, or folder of class folders."),
    settings: list[str] = typer.Option([], "--set", help="section.key=value, repeatable."),
    engine: str = ENGINE,
    address: str = ADDRESS,
    threads: int = THREADS,
    as_json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Fill the store with what a recipe's frozen part makes of the images: runs compute nothing."""
    place = where(engine, address, threads)
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.extracting import extract_features
    from cytolens.experiments.recipe import load_recipe

    chosen = load_recipe(recipe, settings)
    found = extract_features(chosen, read_manifest(data), where=place, progress=Bars())
    if as_json:
        print_json({"computed": found.computed, "reused": found.reused, "shards": found.shards})
        return
    shards = f", in {found.shards} shards" if found.shards else ""
    out.print(f"{found.computed} computed{shards}; {found.reused} were in the store.", markup=False)
