"""`cytolens recipes`: what ships with the package."""

from __future__ import annotations

import typer

from cytolens.cli.console import out, print_json


def recipes(as_json: bool = typer.Option(False, "--json", help="Print as JSON.")) -> None:
    """List the recipes that ship with the package, those of the papers behind them."""
    from cytolens.experiments.papers.cells import shipped_cells
    from cytolens.experiments.recipe import load_recipe, shipped_recipes

    found = {name: load_recipe(name).about for name in shipped_recipes()}
    found |= {name: cell.content["about"] for name, cell in shipped_cells().items()}
    if as_json:
        print_json(found)
        return
    for name, about in found.items():
        out.print(f"{name:<{max(map(len, found))}}  {about}", markup=False)
