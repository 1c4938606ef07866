"""`cytolens predict`: what a bundle says of images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from cytolens.cli.console import Bars, err
from cytolens.cli.engine import ADDRESS, ENGINE, THREADS, where

if TYPE_CHECKING:
    from cytolens.bundle import Bundle, Ensemble
    from cytolens.bundle.inputs import Item
    from cytolens.bundle.stream import Done, Row
    from cytolens.bundle.table import Finished, Layout

    Predicting: TypeAlias = Callable[[list[Item]], Iterator[Done]]

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
    also: list[Path] = typer.Option(
        [], "--also", help="Another bundle, repeatable: probabilities are averaged."
    ),
    examples: int = typer.Option(
        0, "--examples", min=0, help="Name so many of the bundle's nearest training images."
    ),
    runtime: str = typer.Option("auto", "--runtime", help="auto, openvino, onnx or torch."),
    precision: str = typer.Option(
        "f32", "--precision", help="f32, bf16 or int8; but for f32 with OpenVINO alone."
    ),
    engine: str = ENGINE,
    address: str = ADDRESS,
    threads: int = THREADS,
) -> None:
    """Predict images; a file that cannot be used is named and does not stop the rest."""
    file, folder, format = _place(target, format)
    settings = {"tile": tile, "um_per_px": um_per_px, "whole": whole, "top": top}
    _check_usage(target, folder, resume, tiles, settings)
    _check_runtime(runtime, precision)
    if examples and (also or tiles):
        raise typer.BadParameter(
            f"--examples has no effect with {'--also' if also else '--tiles'}."
        )
    place = where(engine, address, threads)
    from cytolens.bundle.inputs import open_inputs
    from cytolens.bundle.stream import predict_items
    from cytolens.bundle.table import Finished, Layout, table_bytes
    from cytolens.cli.slides import part, refuse_slides, score_slides

    items = list(open_inputs(images))
    options: dict[str, Any] = {"runtime": runtime, "precision": precision}
    if examples:
        options["examples"] = examples
    loaded, made_by = _load([bundle, *also], options)
    layout = Layout(loaded.classes, _more(loaded, examples))
    plain, slides = part(items, every=tiles, folder=folder)
    if examples:
        refuse_slides(slides, "of which no training images are named", "leave --examples out.")
    finished = Finished.open(file, format, layout, resume=resume) if file and plain else None
    with ExitStack() as left:
        predicting: Predicting = partial(predict_items, loaded, jobs=jobs)
        if place.is_cluster:
            refuse_slides(
                slides,
                "which a cluster does not do",
                "score them without --engine ray; several machines can share them by name.",
            )
            from cytolens.experiments.cluster.prediction import Model, check_prediction, predict_on

            cluster = left.enter_context(place.join())
            check_prediction(cluster, loaded, plain)
            err.print(cluster.said, style="yellow", markup=False)
            model = Model((bundle, *also), tuple(options.items()))
            predicting = partial(predict_on, cluster, model, jobs=jobs)
        bad = score_slides(loaded, slides, folder, settings, made_by, jobs) if folder else 0
        if file is None:
            rows = _predict(predicting, plain)
            sys.stdout.write(table_bytes(rows, format, layout).decode("utf-8"))
        elif plain:
            rows = _predict_into(file, format, loaded, predicting, plain, layout, made_by, finished)
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


def _check_runtime(runtime: str, precision: str) -> None:
    """Refuse names that nobody knows, and a precision that the runtime does not have."""
    from cytolens.bundle.runtime import PRECISIONS, RUNTIMES

    known = ("auto", *RUNTIMES)
    for option, value, names in (
        ("--runtime", runtime, known),
        ("--precision", precision, PRECISIONS),
    ):
        if value not in names:
            raise typer.BadParameter(f"{value!r} is none of {', '.join(names)}.", param_hint=option)
    if precision != "f32" and runtime not in ("auto", "openvino"):
        raise typer.BadParameter(
            f"{runtime} computes in f32 alone; {precision} takes openvino.",
            param_hint="--precision",
        )


def _load(folders: list[Path], options: dict[str, Any]) -> tuple[Bundle | Ensemble, dict[str, Any]]:
    """Return a bundle, or several as one, and what its predictions depend on."""
    from cytolens.bundle import Bundle, bundle_id, load_bundle, load_ensemble

    one = len(folders) == 1
    loaded = load_bundle(folders[0], **options) if one else load_ensemble(folders, **options)
    members = (loaded,) if isinstance(loaded, Bundle) else loaded.members
    return loaded, {
        "bundle": "+".join(bundle_id(member.folder) for member in members),
        "classes": list(loaded.classes),
        "runtime": "+".join(dict.fromkeys(member.runtime_name for member in members)),
    } | {name: value for name, value in options.items() if name != "runtime"}


def _more(loaded: Bundle | Ensemble, examples: int) -> tuple[str, ...]:
    """Return the columns of what is known beyond probabilities, by one member at least.

    Raises:
        InputError: training images shall be named, and the bundle carries none.
    """
    from cytolens.bundle import Ensemble
    from cytolens.core.errors import InputError

    members = loaded.members if isinstance(loaded, Ensemble) else (loaded,)
    cards = [member.card for member in members]
    if examples and not cards[0].examples:
        raise InputError(
            "The bundle carries no training images that could be named.",
            fix="leave --examples out, or train it with bundle.examples above 0.",
        )
    decides = any(c.decision or c.conformal or c.ood or c.checks for c in cards)
    more = [
        ("set", any(card.conformal for card in cards)),
        ("decision", decides),
        ("reasons", decides),
        ("strangeness", any(card.ood for card in cards)),
        ("examples", examples > 0),
    ]
    return tuple(name for name, has in more if has)


def _predict(predicting: Predicting, items: list[Item]) -> list[Row]:
    rows = []
    with Bars().task("predicting", len(items)) as step:
        for done in predicting(items):
            rows.append(done.row)
            step()
    return rows


def _predict_into(
    file: Path,
    format: str,
    loaded: Bundle | Ensemble,
    predicting: Predicting,
    items: list[Item],
    layout: Layout,
    made_by: dict[str, Any],
    finished: Finished | None,
) -> list[Row]:
    """Predict what is not in the table yet, and write it; return the rows that are new."""
    from cytolens.bundle.journal import open_journal
    from cytolens.bundle.stream import unfinished
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
            for done in predicting(todo):
                if done.item.name not in found:
                    found[done.item.name] = done.row
                    journal.add([done])
                step()
        rows = [found[item.name] for item in items]
        content = finished.extended(rows) if finished else table_bytes(rows, format, layout)
        write_table(file, content)
    return rows


def _check_same(finished: Finished, loaded: Bundle | Ensemble, items: list[Item]) -> None:
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
