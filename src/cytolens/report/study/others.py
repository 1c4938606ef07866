"""The paper's comparison with other work, with our lines at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cytolens.report.study.lines import Line, shown_first
from cytolens.report.study.study import Study
from cytolens.report.study.words import as_printed, percent_span
from cytolens.report.text import UNDEFINED, bounds, defined, percent, thousands


@dataclass(frozen=True)
class Other:
    """One row; `whose` is "other", "paper" or "ours"."""

    method: str
    classes: str
    images: str
    accuracy: str
    interval: str
    whose: str
    leaks: bool = False


def others(study: Study, found: Sequence[Line]) -> list[Other]:
    """Return the rows of the paper's table, the paper's own, then ours; empty without a table."""
    rows = [
        Other(
            str(row.get("method") or UNDEFINED),
            _count(row.get("classes")),
            _count(row.get("images")),
            as_printed(row.get("accuracy")),
            "",
            "other",
        )
        for row in study.paper.get("comparison") or []
    ]
    line = shown_first(found)
    if not rows or line is None:
        return rows
    if line.paper is not None and line.paper_accuracy is not None:
        name = ", ".join(filter(None, (f"The paper: {line.paper.model}", line.regime_label)))
        rows.append(Other(name, UNDEFINED, UNDEFINED, as_printed(line.paper_accuracy), "", "paper"))
    for cell in line.cells:
        if cell.measured:
            how = "its protocol" if cell.leaks else "honest"
            rows.append(
                Other(
                    f"Ours, {how}: {line.label}, on {study.data.get('name') or 'these data'}",
                    _count(len(cell.metrics.get("classes") or []) or None),
                    _count(cell.metrics.get("n")),
                    percent(bounds(cell.accuracy)[0]),
                    percent_span(cell.accuracy),
                    "ours",
                    cell.leaks,
                )
            )
    return rows


def _count(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    return thousands(value) if defined(value) is not None else UNDEFINED
