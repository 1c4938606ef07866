"""`cytolens ledger`: what each common mistake of measurement adds to a number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from cytolens.cli.console import Bars, out, print_json

if TYPE_CHECKING:
    from rich.table import Table

_WIDTH = 132  # characters of the table where there is no terminal


def ledger(
    manifest: Path = typer.Argument(..., help="Manifest, or folder of class folders."),
    recipe: str = typer.Option("frozen", help="A TOML file, or a name of `cytolens recipes`."),
    target: Path = typer.Option(None, "--out", help="Folder. [default: runs/ledger-RECIPE-DATA]"),
    settings: list[str] = typer.Option([], "--set", help="section.key=value, repeatable."),
    as_json: bool = typer.Option(False, "--json", help="Print ledger.json."),
) -> None:
    """Measure one recipe honestly and with each common mistake, and show what each one adds."""
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.ledger import run_ledger
    from cytolens.experiments.recipe import load_recipe

    chosen = load_recipe(recipe, settings)
    images = read_manifest(manifest)
    name = f"ledger-{chosen.name.replace('/', '-')}-{images.name}"
    folder = target or Path("runs") / name
    content = run_ledger(images, chosen, folder, progress=Bars())
    if as_json:
        print_json(content)
        return
    console = out if out.is_terminal else Console(width=_WIDTH, highlight=False)
    console.print(_table(content))
    for sentence in content["sentences"]:
        out.print(sentence, markup=False)
    for note in content["notes"]:
        if note not in content["sentences"]:
            out.print(note, markup=False, style="yellow")
    out.print(f"report             {folder / 'ledger.html'}", markup=False)


def _table(content: dict[str, Any]) -> Table:
    """Return the rows with their scores and what they add; published ones are stamped."""
    from rich.table import Table
    from rich.text import Text

    from cytolens.report.text import score_text
    from cytolens.report.views.ledger import signed_points

    table = Table()
    table.add_column("protocol", no_wrap=True)
    for heading in ("accuracy", "AUC", "points of accuracy added"):
        table.add_column(heading)
    for row in content["rows"]:
        if row["skipped"]:
            table.add_row(Text(row["title"]), Text(f"not run: {row['skipped']}"))
            continue
        stamped = row["protocol"] == "published"
        name = Text(row["title"] + ("  LEAKS" if stamped else ""), style="red" if stamped else "")
        added = signed_points(row["inflation"]["accuracy"]) if row["inflation"] else ""
        scores = (Text(score_text(row[score])) for score in ("accuracy", "auc"))
        table.add_row(name, *scores, Text(added))
        if own := row["reference"]:
            scores = (Text(score_text(own[score])) for score in ("accuracy", "auc"))
            table.add_row(Text("  its own reference"), *scores)
    return table
