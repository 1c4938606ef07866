"""The main table: the paper's number of each model and regime, and ours under both protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.study.lines import Line
from cytolens.report.study.study import HONEST, PUBLISHED, Cell, Study
from cytolens.report.study.words import (
    as_printed,
    percent_span,
    points,
    points_span,
    regime_words,
)
from cytolens.report.text import UNDEFINED, bounds, defined, number, percent


@dataclass(frozen=True)
class Value:
    """A number with what stands small below it; `link` leads to the cell's own report."""

    text: str
    small: str = ""
    link: str = ""
    leaks: bool = False


@dataclass(frozen=True)
class Row:
    """One model and regime. `why` stands in the place of ours where nothing was run."""

    model: str
    about: str
    regime: str
    paper: Value
    ours: list[Value]
    gap: Value
    why: str


@dataclass(frozen=True)
class Accuracies:
    """`protocols` are those that the study has cells of; `sentences` are the gaps in words."""

    protocols: list[str]
    regimes: bool
    rows: list[Row]
    sentences: list[str]

    @property
    def gaps(self) -> bool:
        return len(self.protocols) > 1

    @property
    def links(self) -> bool:
        """Whether any number leads to a report."""
        return any(value.link for row in self.rows for value in row.ours)


def accuracies(study: Study, found: Sequence[Line]) -> Accuracies:
    """Return the table."""
    protocols = [p for p in (PUBLISHED, HONEST) if any(c.protocol == p for c in study.cells)]
    return Accuracies(
        protocols=protocols,
        regimes=len({line.regime for line in found}) > 1,
        rows=[_row(line, protocols) for line in found],
        sentences=[line.sentence for line in found if line.sentence],
    )


def about(line: Line) -> str:
    """Return what stands behind the model's name: its network and whose place it takes."""
    if not line.cells:
        return ""
    cell = line.cells[0]
    parts = []
    if line.stands_in_for and line.stands_in_for != line.model:
        parts.append(f"stands in for {line.stands_in_for}")
    elif line.stands_in_for and cell.backbone:
        parts.append(f"{cell.backbone} stands in")
    if not _plain(cell.backbone).startswith(_plain(line.model)) and not parts:
        parts.append(cell.backbone)
    if cell.weights and cell.weights == "random":
        parts.append(f"{cell.weights} weights")
    return ", ".join(parts)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _row(line: Line, protocols: Sequence[str]) -> Row:
    by_protocol = {PUBLISHED: line.published, HONEST: line.honest}
    has_gap = bounds(line.gap)[0] is not None
    return Row(
        model=line.model,
        about=about(line),
        regime=regime_words(line.regime),
        paper=Value(as_printed(line.paper_accuracy), _other(line)),
        ours=[] if not line.measured else [_value(by_protocol[p]) for p in protocols],
        gap=Value(points(line.gap), points_span(line.gap)) if has_gap else Value(UNDEFINED),
        why="" if line.measured else _why(line),
    )


def _value(cell: Cell | None) -> Value:
    if cell is None:
        return Value(UNDEFINED)
    if not cell.measured:
        return Value("not run", cell.why_not)
    text = percent(bounds(cell.accuracy)[0])
    return Value(text, percent_span(cell.accuracy), cell.link, cell.leaks)


def _why(line: Line) -> str:
    reasons = list(dict.fromkeys(cell.why_not for cell in line.cells if cell.why_not))
    if reasons:
        return "Not run: " + "; ".join(reason.rstrip(".") for reason in reasons) + "."
    return "Not run." if line.cells else "Not part of this study."


def _other(line: Line) -> str:
    """Return the further columns of the paper's row."""
    if line.paper is None:
        return ""
    return ", ".join(f"{k.replace('_', ' ')} {_printed(v)}" for k, v in line.paper.other.items())


def _printed(value: Any) -> str:
    found = defined(value)
    if found is None:
        return str(value)
    if not isinstance(value, float):
        return number(found, 0)
    return number(found, 4).rstrip("0").rstrip(".")
