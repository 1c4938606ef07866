"""`cytolens explain`: where a network looks, by several methods, put to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from cytolens.cli.console import Bars, err, out, print_json

_MOST = 100


def explain(
    model: Path = typer.Argument(..., help="A run; with images, also a bundle."),
    images: list[Path] = typer.Argument(
        None, help="Images, folders, patterns, manifests, zip archives."
    ),
    methods: list[str] = typer.Option(
        [], "--method", help="Repeatable; all: every one. [default: the five of contrastive2023]"
    ),
    target: str = typer.Option(None, help="Class to explain. [default: the predicted one]"),
    against: str = typer.Option(None, help="Explain the target against this class."),
    decision: bool = typer.Option(False, "--decision", help="Explain the decision by cost."),
    layer: str = typer.Option(None, help="Where the network is opened. [default: auto]"),
    settings: list[str] = typer.Option([], "--set", help="method.setting=value, repeatable."),
    seed: int = typer.Option(0, help="Seed of what is drawn: images, superpixels, masks."),
    judge: bool = typer.Option(False, "--judge", help="Put the methods to the test (of a run)."),
    most: int = typer.Option(_MOST, min=1, help="With --judge: test images, drawn."),
    target_folder: Path = typer.Option(
        None, "--out", help="With images: folder. [default: explanations]"
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace explanations."),
    as_json: bool = typer.Option(False, "--json", help="Print explanations.json."),
) -> None:
    """Explain test images of a run in its report, or images of one's own."""
    _check_usage(bool(images), target_folder, judge, most, against, decision)
    from cytolens.core.files import read_json
    from cytolens.experiments.explaining import (
        DEFAULT_METHODS,
        Question,
        create_methods,
        explain_images,
        explain_run,
    )

    asked = Question(target, against, decision)
    chosen = create_methods(methods or DEFAULT_METHODS, settings, layer=layer, seed=seed)
    options: dict[str, Any] = {"overwrite": overwrite, "progress": Bars()}
    if images:
        place = target_folder or Path("explanations")
        folder = explain_images(model, images, chosen, asked, out=place, **options)
    else:
        folder = explain_run(model, chosen, asked, seed=seed, judge=judge, most=most, **options)
    content = read_json(folder / "explanations.json", "explanations")
    if judge:
        content["judgement"] = read_json(folder / "judgement.json", "judgement")
    if as_json:
        print_json(content)
    else:
        _show(content, folder, None if images else model / "report.html")
    if skipped := content["skipped"]:
        for one in skipped:
            err.print(f"{one['file']} {one['problem']}", style="yellow", markup=False)
        count = len(skipped) + len(content["images"])
        err.print(f"{len(skipped)} of {count} files could not be used.", style="yellow")
        raise typer.Exit(1)


def _check_usage(
    images: bool,
    target_folder: Path | None,
    judge: bool,
    most: int,
    against: str | None,
    decision: bool,
) -> None:
    """Refuse options that exclude each other, or have no effect."""
    if images and judge:
        raise typer.BadParameter("--judge is for a run: it needs images of known class.")
    if not images and target_folder is not None:
        raise typer.BadParameter("--out has no effect without images: a run keeps its own.")
    if most != _MOST and not judge:
        raise typer.BadParameter("--most has no effect without --judge.")
    if against is not None and decision:
        raise typer.BadParameter("give one of --against and --decision.")


def _show(content: dict[str, Any], folder: Path, report: Path | None) -> None:
    """Print a line a method, what it is worth, and the notes."""
    from cytolens.report.text import counted

    for method in content["methods"]:
        mine = [
            one
            for image in content["images"]
            for one in image["explanations"]
            if one["method"] == method["name"]
        ]
        mean = sum(one["seconds"] for one in mine) / len(mine)
        empty = sum(bool(one["notes"]) for one in mine)
        said = f", {counted(empty, 'map')} empty" if empty else ""
        line = f"{method['title']:<20} {counted(len(mine), 'image')}, {_each(mean)} each{said}"
        out.print(line, markup=False)
    for method in content.get("judgement", {}).get("methods", []):
        word = "trusted" if method["trusted"] else "not trusted"
        style = None if method["trusted"] else "yellow"
        out.print(f"{method['title']:<20} {word}: {method['why']}", markup=False, style=style)
    for method in content.get("judgement", {}).get("left_out", []):
        out.print(f"{method['name']:<20} not judged: {method['why']}", markup=False, style="yellow")
    for note in content["notes"]:
        out.print(note, markup=False, style="bold red" if note.startswith("LEAKS") else None)
    out.print(f"explanations       {folder}", markup=False)
    if report is not None:
        out.print(f"report             {report}", markup=False)


def _each(duration: float) -> str:
    """Return seconds an image as "4.2 ms" or "1.3 s"."""
    return f"{duration:.1f} s" if duration >= 1 else f"{1000 * duration:.1f} ms"
