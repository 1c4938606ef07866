"""An ensemble of finished runs: a run folder like any other, without a model of its own."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from cytolens.bundle.config import BundleConfig
from cytolens.core.config import from_dict, load_toml, to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import write_json, write_text, writing
from cytolens.evaluation import FUSIONS, Predictions, fuse
from cytolens.experiments.doubt import FILE as DOUBT
from cytolens.experiments.doubt import find_doubt
from cytolens.experiments.environment import Clock, describe
from cytolens.experiments.finished import Finished, read_finished
from cytolens.experiments.folder import workplace
from cytolens.experiments.predictions_file import write_predictions
from cytolens.experiments.scores import SUBGROUP_COLUMNS, all_scores
from cytolens.report.run_report import write_run_report
from cytolens.training.cost.config import CostConfig

COPIED = ("split.json", "audit.json")
_HEADER = "# Not a recipe that can be run: what this ensemble was made of.\n"


def fuse_runs(folders: Sequence[Path], method: str, out: Path, *, overwrite: bool = False) -> Path:
    """Make one run of the predictions of several, and return its folder.

    The members must have tested the same images in the same repeats. Nothing is fitted to decide,
    so what a member's models did not know, the ensemble does not know. What leaks in one member
    leaks in the ensemble. Images, split, audit, costs, abnormal classes and seed of the bootstrap
    are the first member's.

    Args:
        folders: two or more finished runs.
        method: a name of `evaluation.FUSIONS`.
        out: the run folder.
        overwrite: replace a finished run.

    Raises:
        InputError: an unknown method, a folder without a run, runs that differ in images, labels,
            units or classes, or a place that cannot be written.
    """
    FUSIONS.get(method)
    clock = Clock()
    runs = read_finished(folders)
    _refuse_own_place(runs, out)
    with workplace(out, overwrite=overwrite) as place:
        with clock.stage("fuse"):
            rows = _rows(runs[0].folder / "manifest.csv")
            predictions = fuse([run.predictions for run in runs], method)
        place.claim({"members": [str(run.folder) for run in runs], "method": method})
        with clock.stage("evaluate"):
            metrics = _scores(runs, predictions, rows)
        with clock.stage("doubt"):
            doubt = _doubt(runs[0], predictions)
        path = place.path
        with writing(path, "the run"):
            _copy_data(runs[0].folder, rows, path)
            write_json(path / "metrics.json", metrics)
            if doubt is not None:
                write_json(path / DOUBT, doubt)
            write_predictions(path / "predictions.parquet", predictions)
            write_text(path / "recipe.toml", _HEADER + tomli_w.dumps(_content(runs, method)))
            write_json(path / "environment.json", describe(clock, "none", "none", _notes(runs)))
            write_run_report(path)
        return place.finish()


def _refuse_own_place(runs: Sequence[Finished], out: Path) -> None:
    if out.resolve() in [run.folder.resolve() for run in runs]:
        raise InputError(f"{out} is one of the runs that are fused.", fix="choose another --out.")


def _recipe(run: Finished) -> dict[str, Any]:
    path = run.folder / "recipe.toml"
    return load_toml(path) if path.is_file() else {}


def _cost(run: Finished) -> CostConfig:
    table = _recipe(run).get("cost", {})
    return from_dict(CostConfig, table, f"[cost] of {run.folder / 'recipe.toml'}")


def _scores(
    runs: Sequence[Finished], predictions: Predictions, rows: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Return metrics.json: what leaks in a member leaks in the ensemble."""
    first = runs[0]
    columns = {
        column: {row["id"]: row[column] for row in rows if row.get(column)}
        for column in SUBGROUP_COLUMNS
    }
    return all_scores(
        predictions,
        columns,
        protocol="published" if any(run.stamped for run in runs) else "honest",
        leaks=[f"{run.name}: {reason}" for run in runs for reason in run.leaks],
        unit_name=first.unit,
        cost=_cost(first),
        resamples=int(first.metrics["interval"]["resamples"]),
        seed=int(_recipe(first).get("seed", 0)),
    )


def _doubt(first: Finished, predictions: Predictions) -> dict[str, Any] | None:
    """Return `doubt.json` of the ensemble, by what the first member's recipe says of bundles."""
    recipe = _recipe(first)
    table = recipe.get("bundle", {})
    return find_doubt(
        predictions,
        from_dict(BundleConfig, table, f"[bundle] of {first.folder / 'recipe.toml'}"),
        resamples=int(first.metrics["interval"]["resamples"]),
        seed=int(recipe.get("seed", 0)),
    )


def _content(runs: Sequence[Finished], method: str) -> dict[str, Any]:
    names = [run.name for run in runs]
    return {
        "name": f"{method} of {len(runs)} runs",
        "about": f"An ensemble of {', '.join(names)}. It has no model of its own.",
        "protocol": "published" if any(run.stamped for run in runs) else "honest",
        "seed": int(_recipe(runs[0]).get("seed", 0)),
        "fusion": {"method": method, "members": names},
        "cost": to_dict(_cost(runs[0])),
    }


def _notes(runs: Sequence[Finished]) -> list[str]:
    """Say where the members differ in what is taken from the first."""
    first, *others = runs
    notes = [
        f"{other.name} weighs errors by other costs; those of {first.name} are used"
        for other in others
        if _cost(other) != _cost(first)
    ]
    folds = _folds(first.predictions)
    return notes + [
        f"{other.name} was split otherwise; the split shown is that of {first.name}"
        for other in others
        if _folds(other.predictions) != folds
    ]


def _folds(predictions: Predictions) -> dict[tuple[str, int], int]:
    """Return the fold that tested each image in each repeat."""
    keys = zip(predictions.ids, predictions.repeats.tolist(), strict=True)
    return dict(zip(keys, predictions.folds.tolist(), strict=True))


def _rows(path: Path) -> list[dict[str, str]]:
    """Read a run's manifest. Its images may be gone by now: nothing here looks at them.

    Raises:
        InputError: no manifest of a run there.
    """
    if not path.is_file():
        raise InputError(f"There is no {path}.", expected="a run folder with its manifest")
    try:
        with path.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
    except (UnicodeDecodeError, csv.Error):
        rows = []
    if not rows or not {"id", "image"} <= rows[0].keys():
        raise InputError(f"{path} is not the manifest of a run.", expected="columns id and image")
    return rows


def _copy_data(source: Path, rows: Sequence[dict[str, str]], target: Path) -> None:
    """Copy what says which images there are; paths in the manifest become relative to the copy."""
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    images = {row["image"] for row in rows}

    def moved(path: str) -> str:
        place = os.path.relpath((source / path).resolve(), target.resolve())
        return Path(place).as_posix()

    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    for row in rows:
        paths = {c: moved(row[c]) for c in ("image", "mask") if row.get(c)}
        if row.get("parent") in images:
            paths["parent"] = moved(row["parent"])
        table.writerow(row | paths)
    write_text(target / "manifest.csv", text.getvalue())
