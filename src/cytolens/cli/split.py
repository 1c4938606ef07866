"""`cytolens split`: write a split file."""

from __future__ import annotations

from pathlib import Path

import typer

from cytolens.cli.console import Bars, out


def split(
    manifest: Path = typer.Argument(..., help="Manifest, or folder of class folders."),
    target: Path = typer.Option(Path("split.json"), "--out", help="Where the split is written."),
    kind: str = typer.Option("kfold", help="holdout, kfold, lodo or attribute."),
    protocol: str = typer.Option("honest", help="honest refuses leaks; published records them."),
    seed: int = typer.Option(0, help="Seed of the draw."),
    settings: list[str] = typer.Option([], "--set", help="key=value of [split], repeatable."),
) -> None:
    """Decide once which image is train, validation or test in which fold."""
    from typing import Any

    from cytolens.core.config import assign, from_dict
    from cytolens.core.errors import InputError
    from cytolens.core.files import writing
    from cytolens.data.facts import scan_or_fail
    from cytolens.data.loading import read_manifest
    from cytolens.splits.plan import SplitConfig, make_split

    if protocol not in ("honest", "published"):
        raise typer.BadParameter(
            f"{protocol!r} is neither honest nor published.", param_hint="--protocol"
        )
    content: dict[str, Any] = {"kind": kind}
    for setting in settings:
        assign(content, setting)
    config = from_dict(SplitConfig, content, "the split")
    if target.exists():
        raise InputError(
            f"{target} exists; a split is written once, and the file wins.",
            fix="choose another --out, or remove it first.",
        )
    images = read_manifest(manifest)
    with Bars().task("looking at the images", len(images)) as step:
        facts = scan_or_fail(images, step=step)
    made, _ = make_split(images, facts, config, protocol, seed)
    with writing(target, "the split"):
        made.write(target)
    for fold in made.folds:
        parts = f"{len(fold.train)} train, {len(fold.validation)} validation, {len(fold.test)} test"
        out.print(f"repeat {fold.repeat} fold {fold.fold}: {parts}", markup=False)
    for note in made.notes:
        out.print(note, style="yellow", markup=False)
    for leak in made.leaks:
        out.print(f"LEAKS: {leak}", style="bold red", markup=False)
    out.print(f"{target}: unit {made.unit}", markup=False)
