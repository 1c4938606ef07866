"""The leak ledger as it stands in a page: rows, findings, reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.text import (
    MINUS,
    UNDEFINED,
    Score,
    bounds,
    counted,
    interval_text,
    number,
    thousands,
)

Cell = tuple[str, str]


@dataclass(frozen=True)
class LedgerRow:
    """One protocol. `cells` are (value, interval) of accuracy, AUC, and what each gains.

    `added` is "yes", "no" (its interval holds 0), "less" or "" for the reference; `skipped` says
    why there are no numbers; `reference` speaks of an honest reference of the row's own.
    """

    title: str
    what: str
    stamped: bool
    leaks: list[str]
    images: str
    cells: list[Cell]
    added: str
    reference: str
    skipped: str


@dataclass(frozen=True)
class Ledger:
    """`about` names data and units; `scores` are the rows of the figure, as in ledger.json."""

    about: str
    sentences: list[str]
    notes: list[str]
    rows: list[LedgerRow]
    scores: list[Mapping[str, Any]]
    alt: str


def ledger_view(content: Mapping[str, Any]) -> Ledger:
    """Arrange the content of `ledger.json` for a page."""
    scores = [row for row in content["rows"] if row["accuracy"] is not None]
    said = "; ".join(
        f"{row['title']} {number(bounds(row['accuracy'])[0])}" + _gain(row) for row in scores
    )
    return Ledger(
        about=_about(content),
        sentences=list(content["sentences"]),
        notes=[note for note in content["notes"] if note not in content["sentences"]],
        rows=[_row(row) for row in content["rows"]],
        scores=scores,
        alt=f"Dots with whiskers: {said}.",
    )


def _about(content: Mapping[str, Any]) -> str:
    units = counted(int(content["units"]), content["unit"])
    return (
        f"Recipe {content['recipe']} on {content['data']}: {counted(content['n'], 'image')}, "
        f"{counted(len(content['classes']), 'class', 'classes')}. Intervals draw whole units "
        f"({units})."
    )


def _gain(row: Mapping[str, Any]) -> str:
    if row["inflation"] is None:
        return " (reference)"
    return f" ({signed_points(row['inflation']['accuracy'])} points)"


def _row(row: Mapping[str, Any]) -> LedgerRow:
    inflation = row["inflation"] or {}
    return LedgerRow(
        title=row["title"],
        what=row["what"],
        stamped=row["protocol"] == "published" and row["run"] is not None,
        leaks=list(row["leaks"]),
        images=thousands(row["n"]),
        cells=[
            *(_score_cell(row[name]) for name in ("accuracy", "auc")),
            *(_points_cell(inflation.get(name)) for name in ("accuracy", "auc")),
        ],
        added=_added(inflation.get("accuracy")),
        reference=_own_reference(row["reference"]),
        skipped=row["skipped"] or "",
    )


def _score_cell(score: Score) -> Cell:
    return number(bounds(score)[0]), interval_text(score) if bounds(score)[1] is not None else ""


def _points_cell(inflation: Score) -> Cell:
    value, interval = signed_points(inflation), ""
    if " (" in value:
        value, interval = value.removesuffix(")").split(" (")
    return value, interval


def _added(inflation: Score) -> str:
    value, low, high = bounds(inflation)
    if value is None or low is None or high is None:
        return ""
    return "yes" if low > 0 else "less" if high < 0 else "no"


def _own_reference(reference: Mapping[str, Any] | None) -> str:
    if reference is None:
        return ""
    accuracy, auc = (" ".join(_score_cell(reference[name])) for name in ("accuracy", "auc"))
    return f"Its own reference: accuracy {accuracy}, AUC {auc}."


def points_text(inflation: Score) -> str:
    """Return "3.5 (0.9-5.9)" in points of a share, with an en dash, or "to" with a minus."""
    value, low, high = bounds(inflation)
    if value is None:
        return UNDEFINED
    text = number(100 * value, 1)
    if low is None or high is None:
        return text
    ends = number(100 * low, 1), number(100 * high, 1)
    between = " to " if MINUS in "".join(ends) else "\N{EN DASH}"
    return f"{text} ({between.join(ends)})"


def signed_points(inflation: Score) -> str:
    """Return `points_text` with a plus where it gains."""
    value = bounds(inflation)[0]
    sign = "+" if value is not None and round(100 * value, 1) > 0 else ""
    return sign + points_text(inflation)
