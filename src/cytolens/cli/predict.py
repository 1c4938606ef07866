"""`cytolens predict`: what a bundle says of images."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import typer

from cytolens.cli.console import Bars, err, print_json


def predict(
    bundle: Path = typer.Argument(..., help="A bundle, or a run that holds one."),
    images: list[Path] = typer.Argument(..., help="Images and folders of images."),
    format: str = typer.Option("csv", "--format", help="csv or json."),
) -> None:
    """Predict images; a file that cannot be used is named and does not stop the rest."""
    from cytolens.bundle import load_bundle

    if format not in ("csv", "json"):
        raise typer.BadParameter(f"{format!r} is neither csv nor json.", param_hint="--format")
    files = _files(images)
    loaded = load_bundle(bundle)
    found = []
    with Bars().task("predicting", len(files)) as step:
        for prediction in loaded.predict_many(files):
            found.append(prediction)
            step()
    if format == "json":
        print_json([vars(prediction) for prediction in found])
    else:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["image", "label", *(f"p_{name}" for name in loaded.classes), "problem"])
        for p in found:
            scores = [
                f"{p.probabilities[c]:.6f}" if p.probabilities else "" for c in loaded.classes
            ]
            table.writerow([p.image, p.label or "", *scores, p.problem])
    if bad := [p for p in found if p.problem]:
        err.print(f"{len(bad)} of {len(found)} files could not be used.", style="yellow")
        raise typer.Exit(1)


def _files(paths: list[Path]) -> list[Path]:
    """Expand folders to the images in them, in order."""
    from cytolens.core.errors import InputError
    from cytolens.data.loading import IMAGE_SUFFIXES

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES)
            files += [p for p in inside if p.is_file()]
        else:
            files.append(path)
    if not files:
        raise InputError("There are no images to predict.", expected="image files or folders")
    return files
