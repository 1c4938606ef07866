"""Precision, recall and F1 of each class as the paper prints them, and ours beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.study.lines import Line, shown_first
from cytolens.report.study.study import Cell
from cytolens.report.text import UNDEFINED, bounds, defined, interval_text, number, thousands

SCORES = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))


@dataclass(frozen=True)
class Source:
    """Who a group of columns is from."""

    title: str
    leaks: bool


@dataclass(frozen=True)
class ClassRow:
    """One class: its test images, then (score, interval, whether it leaks) by source and score."""

    name: str
    images: str
    cells: list[tuple[str, str, bool]]


@dataclass(frozen=True)
class ClassTable:
    """The table of one line; `first` is that of the first screen."""

    title: str
    first: bool
    sources: list[Source]
    rows: list[ClassRow]
    note: str


def class_tables(found: Sequence[Line]) -> list[ClassTable]:
    """Return a table for each line that was run and has scores a class."""
    best = shown_first(found)
    tables = []
    for line in found:
        sources = [(cell, _per_class(cell)) for cell in line.cells if _per_class(cell)]
        if sources:
            tables.append(_table(line, sources, line is best))
    return sorted(tables, key=lambda table: not table.first)


def _per_class(cell: Cell) -> Mapping[str, Mapping[str, Any]]:
    return cell.metrics.get("per_class") or {}


def _table(
    line: Line, sources: Sequence[tuple[Cell, Mapping[str, Mapping[str, Any]]]], first: bool
) -> ClassTable:
    printed = line.paper.per_class if line.paper else {}
    ours = list(dict.fromkeys(name for _, scores in sources for name in scores))
    names = [*ours, *(name for name in printed if name not in ours)]
    support = sources[-1][1]  # the honest one's, where there is one
    rows = []
    for name in names:
        cells = [_printed(printed.get(name, {}).get(key)) for key, _ in SCORES] if printed else []
        for cell, scores in sources:
            row = scores.get(name, {})
            cells += [_ours(row.get(key), cell.leaks) for key, _ in SCORES]
        rows.append(ClassRow(name, thousands(support.get(name, {}).get("support")), cells))
    heads = [
        Source("Ours, its protocol" if cell.leaks else "Ours, honest", cell.leaks)
        for cell, _ in sources
    ]
    paper = [Source("The paper", False)] if printed else []
    return ClassTable(
        line.label, first, [*paper, *heads], rows, _note(printed, ours, sources[-1][0])
    )


def _note(printed: Collection[str], ours: Collection[str], last: Cell) -> str:
    """Say whose images are counted, and which classes have no partner."""
    how = "the published protocol" if last.leaks else "the honest protocol"
    said = f"Images: those that {how} tested."
    apart = [name for name in (*ours, *printed) if (name in ours) != (name in printed)]
    if not printed or not apart:
        return said
    if len(apart) == len({*ours, *printed}):
        return f"{said} These data have other classes than the paper’s: both are listed."
    return f"{said} Not in both the paper and these data: {', '.join(apart)}."


def _printed(value: object) -> tuple[str, str, bool]:
    found = defined(value)
    if found is not None and found > 1:
        found /= 100
    text = UNDEFINED if found is None else number(found, 2)
    return text, "", False


def _ours(score: Any, leaks: bool) -> tuple[str, str, bool]:
    value, low, _ = bounds(score)
    span = "" if low is None else interval_text(score, 2)
    return number(value, 2), span, leaks and value is not None
