"""`cytolens bench`: speed, side by side with the plain way, in one run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from cytolens.cli.console import err, out, print_json


def bench(
    suites: list[str] = typer.Option([], "--suite", help="One suite, repeatable. [default: all]"),
    target: Path = typer.Option(None, "--out", help="Folder for bench.json and bench.svg."),
    quick: bool = typer.Option(False, "--quick", help="Small and few: two minutes, rough."),
    device: str = typer.Option("cpu", "--device", help="cpu or cuda."),
    names: bool = typer.Option(False, "--list", help="List the suites."),
    as_json: bool = typer.Option(False, "--json", help="Print bench.json."),
) -> None:
    """Measure ours and the plain way in turns; a table, bench.json and a figure."""
    if device not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{device!r} is neither cpu nor cuda.", param_hint="--device")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks
    from cytolens.bench.run import run_bench
    from cytolens.bench.suite import SUITES

    if names:
        for name in SUITES:
            title = (SUITES.get(name).__doc__ or "").strip().partition("\n")[0]
            out.print(f"{name:<14} {title}", markup=False)
        return
    content = run_bench(
        suites,
        out=target,
        quick=quick,
        device=device,  # type: ignore[arg-type]  # one of the two, as just checked
        say=lambda text: err.print(text, markup=False),
    )
    if as_json:
        print_json(content)
        return
    show(content)
    if target is not None:
        out.print(f"written            {target / 'bench.json'}, bench.svg", markup=False)


def show(content: dict[str, Any]) -> None:
    """Print a table a suite, and the machine they belong to."""
    from rich.console import Console
    from rich.table import Table

    wide = out if out.is_terminal else Console(width=160, highlight=False)
    for suite in content["suites"]:
        table = Table(title=f"{suite['title']} ({suite['seconds']:.0f} s)", title_justify="left")
        for title in ("what", "ours", "other way", "", "times better", "mark"):
            table.add_column(title)
        for line in suite["lines"]:
            table.add_row(*_cells(line))
        wide.print(table)
        for line in suite["lines"]:
            if line["note"]:
                title = " · ".join(part for part in (line["what"], line["other"]) if part)
                wide.print(f"  {title}: {line['note']}", markup=False)
    facts = content["machine"]
    out.print(
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"load {facts['load_average']}",
        markup=False,
    )


def _cells(line: dict[str, Any]) -> list[str]:
    met = {True: "met", False: "MISSED", None: ""}[line["met"]]
    mark = "" if line["mark"] is None else f"{line['mark']:g} {met}".strip()
    other = line["why_not"] or _spread(line["others"], line["unit"])
    return [
        line["what"],
        _spread(line["ours"], line["unit"]),
        line["other"],
        other,
        _spread(line["ratio"], ""),
        mark,
    ]


def _spread(spread: dict[str, float] | None, unit: str) -> str:
    if spread is None:
        return ""
    low, high = _short(spread["low"]), _short(spread["high"])
    return f"{_short(spread['median'])} ({low}–{high}) {unit}".strip()


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
