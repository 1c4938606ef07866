"""`cytolens predict`: what a bundle says of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cytolens.cli.console import Bars, err

if TYPE_CHECKING:
    from cytolens.bundle import Bundle
    from cytolens.bundle.inputs import Item
    from cytolens.bundle.stream import Row
    from cytolens.bundle.table import Finished, Layout

_TOP = 12
_CLOSE = 1e-3  # between probabilities of the same bundle on two machines


def predict(
    bundle: Path = typer.Argument(..., help="A bundle, or a run that holds one."),
    images: list[Path] = typer.Argument(
        ..., help="Images, folders, patterns, manifests, zip archives, slides."
    ),
    format: str = typer.Option(None, "--format", help="csv, json or parquet. [default: csv]"),
    target: Path = typer.Option(
        None, "--out", help="A file for the table, or a folder; slides need a folder."
    ),
    resume: bool = typer.Option(False, "--resume", help="Keep the rows of --out and add to them."),
    jobs: int = typer.Option(2, "--jobs", min=1, help="Threads that read images."),
    tiles: bool = typer.Option(False, "--tiles", help="Score every image by tiles, as slides are."),
    um_per_px: float = typer.Option(
        None, "--um-per-px", min=0.01, help="Slides: µm a pixel of a tile. [default: as scanned]"
    ),
    tile: int = typer.Option(
        None, "--tile", min=8, help="Slides: pixels a side of a tile. [default: the network's]"
    ),
    whole: bool = typer.Option(False, "--whole", help="Slides: score tiles without tissue too."),
    top: int = typer.Option(_TOP, "--top", min=1, help="Slides: tiles in the gallery."),
) -> None:
    """Predict images; a file that cannot be used is named and does not stop the rest."""
    file, folder, format = _place(target, format)
    settings = {"tile": tile, "um_per_px": um_per_px, "whole": whole, "top": top}
    _check_usage(target, folder, resume, tiles, settings)
    from cytolens.bundle import bundle_id, load_bundle
    from cytolens.bundle.inputs import open_inputs
    from cytolens.bundle.table import Finished, Layout, table_bytes
    from cytolens.cli.slides import part, score_slides

    items = list(open_inputs(images))
    loaded = load_bundle(bundle)
    layout = Layout(loaded.classes, _more(loaded))
    plain, slides = part(items, every=tiles, folder=folder)
    finished = Finished.open(file, format, layout, resume=resume) if file and plain else None
    made_by = {"bundle": bundle_id(loaded.folder), "classes": list(loaded.classes)}
    bad = score_slides(loaded, slides, folder, settings, made_by, jobs) if folder else 0
    if file is None:
        rows = _predict(loaded, plain, jobs)
        sys.stdout.write(table_bytes(rows, format, layout).decode("utf-8"))
    elif plain:
        rows = _predict_into(file, format, loaded, plain, jobs, layout, made_by, finished)
    else:
        rows = []
    if bad := bad + sum(bool(row["problem"]) for row in rows):
        err.print(f"{bad} of {len(items)} files could not be used.", style="yellow")
        raise typer.Exit(1)


def _place(target: Path | None, format: str | None) -> tuple[Path | None, Path | None, str]:
    """Return the table's file, the folder where one was named, and the format."""
    from cytolens.bundle.table import FORMATS

    if format is not None and format not in FORMATS:
        raise typer.BadParameter(
            f"{format!r} is none of {', '.join(FORMATS)}.", param_hint="--format"
        )
    if target is None:
        if format == "parquet":
            raise typer.BadParameter("parquet needs a file: --out.", param_hint="--format")
        return None, None, format or "csv"
    named = target.suffix.lower().removeprefix(".")
    if target.is_dir() or not named:
        format = format or "csv"
        return target / f"predictions.{format}", target, format
    if named not in FORMATS:
        raise typer.BadParameter(
            f"{target.name} ends with none of .csv, .json, .parquet.", param_hint="--out"
        )
    if format not in (None, named):
        raise typer.BadParameter(f"{target.name} is not {format}.", param_hint="--format")
    return target, None, named


def _check_usage(
    target: Path | None, folder: Path | None, resume: bool, tiles: bool, settings: dict[str, Any]
) -> None:
    """Refuse options that have no effect."""
    if resume and target is None:
        raise typer.BadParameter("--resume has no effect without --out.")
    usual = {"tile": None, "um_per_px": None, "whole": False, "top": _TOP}
    changed = [name for name in usual if settings[name] != usual[name]] + ["tiles"] * tiles
    if changed and folder is None:
        option = changed[0].replace("_", "-")
        raise typer.BadParameter(f"--{option} has no effect without a folder: --out FOLDER.")


def _more(loaded: Bundle) -> tuple[str, ...]:
    """Return the columns of what this bundle knows beyond probabilities."""
    card = loaded.card
    decides = any((card.decision, card.conformal, card.ood, card.checks))
    more = [
        ("set", card.conformal),
        ("decision", decides),
        ("reasons", decides),
        ("strangeness", card.ood),
    ]
    return tuple(name for name, has in more if has)


def _predict(loaded: Bundle, items: list[Item], jobs: int) -> list[Row]:
    from cytolens.bundle.stream import predict_items

    rows = []
    with Bars().task("predicting", len(items)) as step:
        for done in predict_items(loaded, items, jobs=jobs):
            rows.append(done.row)
            step()
    return rows


def _predict_into(
    file: Path,
    format: str,
    loaded: Bundle,
    items: list[Item],
    jobs: int,
    layout: Layout,
    made_by: dict[str, Any],
    finished: Finished | None,
) -> list[Row]:
    """Predict what is not in the table yet, and write it; return the rows that are new."""
    from cytolens.bundle.journal import open_journal
    from cytolens.bundle.stream import predict_items, unfinished
    from cytolens.bundle.table import table_bytes, write_table

    if finished is not None:
        _check_same(finished, loaded, items)
        kept = [item for item in items if item.name in finished.rows]
        items = [item for item in items if item.name not in finished.rows]
        err.print(f"{len(kept)} images are in {file} already.", markup=False)
    found: dict[str, Row] = {}
    with open_journal(file, made_by) as journal:
        for item in items:
            if (row := journal.row(item)) is not None:
                found[item.name] = row
        if found:
            err.print(f"Going on after {len(found)} of {len(items)} images.", markup=False)
        todo = unfinished(items, lambda item: item.name in found)
        with Bars().task("predicting", len(todo)) as step:
            for done in predict_items(loaded, todo, jobs=jobs):
                if done.item.name not in found:
                    found[done.item.name] = done.row
                    journal.add([done])
                step()
        rows = [found[item.name] for item in items]
        content = finished.extended(rows) if finished else table_bytes(rows, format, layout)
        write_table(file, content)
    return rows


def _check_same(finished: Finished, loaded: Bundle, items: list[Item]) -> None:
    """Predict one image of a table again: a table says nothing of the bundle that made it.

    Raises:
        InputError: this bundle says something else of it.
    """
    from cytolens.bundle.stream import predict_items
    from cytolens.core.errors import InputError

    again = (i for i in items if i.name in finished.rows and finished.rows[i.name]["label"])
    for done in predict_items(loaded, list(again)[:1]):
        before, now = finished.rows[done.item.name], done.row["probabilities"]
        if now and any(abs(before[f"p_{c}"] - p) > _CLOSE for c, p in now.items()):
            raise InputError(
                f"The table was made by another bundle: it calls {done.item.name} "
                f"{before['label']} at {before['p_' + before['label']]:.3f}, this one gives that "
                f"{now[before['label']]:.3f}.",
                fix="choose another place.",
            )
