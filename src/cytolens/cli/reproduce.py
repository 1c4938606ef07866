"""`cytolens reproduce`: a paper's experiments on a data set, beside the honest protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cytolens.cli.console import Bars, out, print_json
from cytolens.cli.engine import ADDRESS, ENGINE, THREADS, where

if TYPE_CHECKING:
    from rich.table import Table


def reproduce(
    paper: str = typer.Argument(
        ..., help="wong2023, contrastive2023, murtoza, abualhaija2020 or prasuna2023."
    ),
    data: Path = typer.Option(..., "--data", help="Manifest, or folder of class folders."),
    target: Path = typer.Option(
        None, "--out", help="Study folder. [default: runs/reproduce-PAPER-DATA]"
    ),
    protocol: str = typer.Option("both", help="published, honest or both."),
    models: list[str] = typer.Option([], "--models", help="A model of the paper, repeatable."),
    only: list[str] = typer.Option(
        [], "--only", help="A regime, baseline or ensemble of the paper, repeatable."
    ),
    weights: str = typer.Option(
        "imagenet", help='"random" runs the paper\'s own networks with nothing to transfer.'
    ),
    stand_in: bool = typer.Option(
        False, "--stand-in", help="Run stand-ins even where a network of the paper has weights."
    ),
    quick: bool = typer.Option(
        False, "--quick", help="Few epochs on small images: proves the path, measures nothing."
    ),
    settings: list[str] = typer.Option([], "--set", help="section.key=value, repeatable."),
    ledger: bool = typer.Option(True, help="Also make the ledger of leaks."),
    jobs: int = typer.Option(0, "--jobs", help="Runs at the same time. [default: one a core]"),
    engine: str = ENGINE,
    address: str = ADDRESS,
    threads: int = THREADS,
    overwrite: bool = typer.Option(
        False, "--overwrite", help="Replace runs of other settings, data or weights."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print study.json."),
) -> None:
    """Run every experiment of a paper under its protocol and under the honest one."""
    place = where(engine, address, threads)
    if place.is_cluster and jobs:
        raise typer.BadParameter("--jobs has no effect with --engine ray.")
    from cytolens.core.errors import InputError
    from cytolens.core.files import read_json
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.papers.paper import load_paper

    load_paper(paper)  # a wrong name is said before anything is read
    if protocol not in ("published", "honest", "both"):
        raise InputError(
            f"There is no protocol {protocol!r}.", expected="published, honest or both"
        )
    from cytolens.experiments.reproduce import reproduce as run_study

    folder = run_study(
        paper,
        read_manifest(data),
        target,
        protocol=protocol,  # type: ignore[arg-type]  # one of the three, as just checked
        models=models,
        only=only,
        weights=weights,
        stand_in=stand_in,
        quick=quick,
        settings=settings,
        ledger=ledger,
        jobs=jobs,
        where=place,
        overwrite=overwrite,
        progress=Bars(),
    )
    study = read_json(folder / "study.json", "description of a study")
    if as_json:
        print_json(study)
        return
    show(study)
    out.print(f"report  {folder / 'report.html'}", markup=False)


def show(study: dict[str, Any]) -> None:
    """Print the paper's accuracies beside ours in both protocols, with the gaps in words."""
    from rich.console import Console

    paper, data = study["paper"], study["data"]
    out.print(paper["title"], style="bold", markup=False)
    classes = ", ".join(f"{name} {count}" for name, count in data["classes"].items())
    out.print(f"on {data['name']}: {data['images']} images ({classes})", markup=False)
    for text in study["substitutions"]:
        out.print(f"- {text}", markup=False)
    table = _table(study)
    (out if out.is_terminal else Console(width=200, highlight=False)).print(table)
    if any(cell["run"] and cell["protocol"] == "published" for cell in study["cells"]):
        out.print(
            "LEAKS: under the published protocol, models knew something of the test part.",
            style="bold red",
            markup=False,
        )
    for gap in study["gaps"]:
        out.print(f"{gap['model']}, {gap['regime']}: {gap['sentence']}", markup=False)
    reasons: dict[str, list[str]] = {}
    for cell in study["cells"]:
        if cell["why_not"]:
            why = cell["why_not"].splitlines()[0].rstrip(".")
            reasons.setdefault(why, []).append(f"{cell['protocol']}/{cell['name']}")
    for why, names in reasons.items():
        out.print(f"not run: {', '.join(names)}: {why}.", markup=False)
    for text in data["notes"]:
        out.print(f"- {text}", markup=False)


def _table(study: dict[str, Any]) -> Table:
    """Return the table: a line a model and regime."""
    from rich.table import Table
    from rich.text import Text

    from cytolens.report.text import UNDEFINED, score_text, signed_text

    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in study["cells"]:
        if cell["run"] or cell["paper_accuracy"] is not None:
            lines.setdefault((cell["model"], cell["regime"]), {})[cell["protocol"]] = cell
    gaps = {(gap["model"], gap["regime"]): gap["gap"] for gap in study["gaps"]}
    table = Table()
    for title in ("model", "regime", "the paper", "published, LEAKS", "honest", "gap"):
        table.add_column(title)
    for key, pair in lines.items():
        one = next(iter(pair.values()))
        model = one["model"]
        if one["stands_in_for"]:
            model += f" for {one['stands_in_for']}"
        printed = one["paper_accuracy"]
        scores = [
            score_text((pair.get(protocol, {}).get("metrics") or {}).get("accuracy"))
            for protocol in ("published", "honest")
        ]
        paper = UNDEFINED if printed is None else f"{printed:g}"
        gap = signed_text(gaps.get(key))
        table.add_row(*map(Text, (model, one["regime"], paper, *scores, gap)))
    for row in study["published"]["rows"]:
        if (row["model"], row["regime"]) not in lines:
            texts = (row["model"], row["regime"], f"{row['accuracy']:g}", *(UNDEFINED,) * 3)
            table.add_row(*map(Text, texts))
    return table
