"""The scores within parts of the data: by data set, by magnification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import Score, bounds, interval_text, number, percent, thousands

SCORES = (
    ("accuracy", "Accuracy"),
    ("balanced_accuracy", "Balanced accuracy"),
    ("auc", "AUC"),
)
_NAMES = {"dataset": "data set"}


@dataclass(frozen=True)
class Row:
    """One value of the column: its images, and (value, interval) of each score."""

    name: str
    images: str
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Subgroup:
    """One column of the manifest; `figure` is the name of its figure."""

    title: str
    noun: str
    figure: str
    sentences: list[str]
    columns: list[str]
    rows: list[Row]


def subgroups(run: RunFolder) -> list[Subgroup]:
    """Return a part for each column in `metrics.json`; empty without any."""
    return [
        Subgroup(
            title=f"By {noun(column)}",
            noun=noun(column),
            figure=figure_name(column),
            sentences=list(_sentences(run, column, values)),
            columns=[name for _, name in SCORES],
            rows=[_row(name, values[name]) for name in in_order(values)],
        )
        for column, values in columns(run).items()
    ]


def columns(run: RunFolder) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """Return {column: {value: scores}}."""
    found = run.metrics.get("subgroups") or {}
    return {str(column): values for column, values in found.items() if values}


def noun(column: str) -> str:
    return _NAMES.get(column, column.replace("_", " "))


def figure_name(column: str) -> str:
    return f"subgroups_{re.sub(r'[^A-Za-z0-9]+', '_', column)}"


def in_order(values: Mapping[str, Any]) -> list[str]:
    """Return the values by the number they begin with ("40X" before "100X"), then by name."""

    def key(name: str) -> tuple[float, str]:
        found = re.match(r"\d+(?:\.\d+)?", name)
        return (float(found[0]) if found else float("inf"), name)

    return sorted(values, key=key)


def _row(name: str, scores: Mapping[str, Any]) -> Row:
    def cell(score: Score) -> tuple[str, str]:
        value, low, _ = bounds(score)
        return number(value), "" if low is None else interval_text(score)

    return Row(name, thousands(scores.get("n")), [cell(scores.get(key)) for key, _ in SCORES])


def _sentences(
    run: RunFolder, column: str, values: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    name = noun(column)
    met = met_in_training(run, column)
    if met is False:
        yield (
            f"Each {name} was judged by a model trained without a single image of it. Its row says "
            f"how well the model does on a {name} it has never met."
        )
    elif met is True:
        yield (
            f"Each {name} stood in the training too, with other images. The rows do not say how "
            f"well the model does on a {name} it has never met."
        )
    known = {v: s for v in values if (s := bounds(values[v].get("accuracy"))[0]) is not None}
    if len(known) > 1:
        best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        spread = (
            f"The accuracy is highest on {best}, {percent(known[best])}, and lowest on {worst}, "
            f"{percent(known[worst])}."
        )
        if percent(known[best]) == percent(known[worst]):
            spread = f"The accuracy is the same everywhere, {percent(known[best])}."
        yield (
            f"{spread} The rows may hold the classes in different shares; "
            "balanced accuracy and AUC depend less on that."
        )
    if any(bounds(scores.get("auc"))[0] is None for scores in values.values()):
        yield "The AUC is undefined where images of one class alone stand in a row."


def met_in_training(run: RunFolder, column: str) -> bool | None:
    """Return whether test images had images of the same value in their training.

    True if all values were met in every fold that tests them, False if none was in any; None
    where it is mixed or not known.
    """
    met = set()
    for fold in (run.split or {}).get("folds") or []:
        trained, tested = (
            {run.index.value(name, column) for part in parts for name in fold.get(part) or []}
            for parts in (("train", "validation"), ("test",))
        )
        met |= {value in trained for value in tested if value is not None}
    return met.pop() if len(met) == 1 else None
