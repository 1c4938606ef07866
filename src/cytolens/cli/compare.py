"""`cytolens compare`: which of several runs is better, and whether that is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from cytolens.cli.console import out, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from cytolens.experiments.finished import Finished

_COLUMN = 26  # characters of a column of the table


def compare(
    runs: list[Path] = typer.Argument(..., metavar="RUN RUN ...", help="Two or more run folders."),
    score: str = typer.Option("accuracy", help="A score of docs/reference/metrics.md."),
    common: bool = typer.Option(
        False, "--common", help="Compare on the images that all runs tested."
    ),
    resamples: int = typer.Option(2000, help="Bootstrap samples; more where there are many pairs."),
    seed: int = typer.Option(0, help="Seed of the bootstrap."),
    target: Path = typer.Option(None, "--out", help="Also write the pairs as a CSV file."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison as JSON."),
) -> None:
    """Compare every pair of runs: better, worse or not shown to differ."""
    from cytolens.core.errors import InputError
    from cytolens.core.files import write_text, writing
    from cytolens.experiments.compare import compare_finished, pairs_csv
    from cytolens.experiments.finished import read_finished

    if target is not None and target.suffix.lower() != ".csv":
        raise InputError(f"{target} does not end in .csv.", fix="choose another --out.")
    finished = read_finished(runs)
    found = compare_finished(finished, score, common=common, resamples=resamples, seed=seed)
    if target is not None:
        with writing(target, "the comparison"):
            write_text(target, pairs_csv(found))
    if as_json:
        print_json(found)
        return
    _show(found, finished)


def _show(found: dict[str, Any], finished: list[Finished]) -> None:
    from cytolens.evaluation.metrics import LOWER_IS_BETTER
    from cytolens.report.text import counted, percent, score_text

    score = found["score"]
    kind = "lower is better" if score in LOWER_IS_BETTER else "higher is better"
    level = percent(found["level"], 0)
    out.print(
        f"{score.replace('_', ' ')} ({kind}) of {counted(found['n'], 'image')}, with {level} "
        f"interval over units ({found['unit']}, {found['units']} of them)",
        markup=False,
    )
    leaking = {run.name for run in finished if run.stamped}
    for row in found["runs"]:
        mark = "  LEAKS" if row["name"] in leaking else ""
        style = "bold red" if mark else None
        out.print(f"  {row['name']}: {score_text(row)}{mark}", markup=False, style=style)
    out.print()
    names = [row["name"] for row in found["runs"]]
    table = _matrix(found, names, leaking)
    wide = max(out.width, _COLUMN * (len(names) + 2))  # a file has no edge to wrap at
    (out if out.is_terminal else Console(width=wide, highlight=False)).print(table)
    out.print(
        "A row against a column: the difference of the row, and what it shows by a bootstrap over "
        f"units, Holm-corrected for {counted(len(found['pairs']), 'pair')}, at "
        f"{1 - found['level']:.2g}.",
        markup=False,
    )
    if found["resamples"] == 0:
        out.print("No test: it takes two units and some resamples.", style="yellow", markup=False)
    if leaking:
        out.print(
            "LEAKS: its models knew test images; what it gains by that is no merit of the model.",
            style="bold red",
            markup=False,
        )
    _show_mcnemar(found)


def _matrix(found: dict[str, Any], names: list[str], leaking: set[str]) -> Table:
    """Return the table of all pairs, a row against a column; columns bear the rows' numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    table.add_column("")
    for number, name in enumerate(names, 1):
        table.add_column(Text(str(number) + (" LEAKS" if name in leaking else "")))
    colours = {"better": "green", "worse": "red"}
    cells = {(p["second"], p["first"]): _cell(p, 1) for p in found["pairs"]}
    cells |= {(p["first"], p["second"]): _cell(p, -1) for p in found["pairs"]}
    for number, row in enumerate(names, 1):
        texts = [cells.get((row, column), "") for column in names]
        styled = [Text(t, style=colours.get(t.split("\n")[0], "")) for t in texts]
        table.add_row(Text(f"{number} {row}" + (" LEAKS" if row in leaking else "")), *styled)
    return table


def _cell(pair: dict[str, Any], sign: int) -> str:
    """Return "better" and "+0.05 (0.02-0.08)" below; sign -1: the first against the second."""
    from cytolens.report.text import signed_text

    difference, said = pair["difference"], pair["verdict"]
    if sign < 0:
        said = {"better": "worse", "worse": "better"}.get(said, said)
        value, low, high = (difference[key] for key in ("value", "low", "high"))
        difference = {
            "value": None if value is None else -value,
            "low": None if high is None else -high,
            "high": None if low is None else -low,
        }
    return f"{said}\n{signed_text(difference, 2)}"


def _show_mcnemar(found: dict[str, Any]) -> None:
    """List the second test, with what it assumes."""
    out.print(
        "McNemar's exact test of right and wrong, for comparison: it takes images for independent, "
        "which images of one patient are not.",
        markup=False,
    )
    for pair in found["pairs"]:
        test = pair["mcnemar"]
        out.print(
            f"  {pair['first']} / {pair['second']}: only one is right in {test['only_first']} / "
            f"{test['only_second']} images, p = {test['p']:.2g}, corrected {test['p_holm']:.2g}",
            markup=False,
        )
