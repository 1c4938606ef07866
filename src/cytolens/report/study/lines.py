"""The lines of a study: a model and regime with the paper's number and both protocols' cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.study.study import HONEST, PUBLISHED, Cell, PaperRow, Study
from cytolens.report.study.words import UNNAMED, regime_words
from cytolens.report.text import Score, bounds


@dataclass(frozen=True)
class Line:
    """One row of the paper's table, ours beside it.

    Attributes:
        several: whether the study has more than one regime, so that a label must name it.
        paper: the paper's row, None where the paper has none.
        gap: published - honest accuracy; None when not both were run.
        sentence: what the gap says, in words, or "".
        caution: what else than the leak moves the gap, in words, or "".
    """

    model: str
    regime: str
    several: bool
    paper: PaperRow | None
    paper_accuracy: float | None
    published: Cell | None
    honest: Cell | None
    gap: Score
    sentence: str
    caution: str = ""

    @property
    def cells(self) -> list[Cell]:
        """Those of both protocols that exist, the published one first."""
        return [cell for cell in (self.published, self.honest) if cell is not None]

    @property
    def measured(self) -> bool:
        return any(cell.measured for cell in self.cells)

    @property
    def stands_in_for(self) -> str:
        return next((cell.stands_in_for for cell in self.cells if cell.stands_in_for), "")

    @property
    def regime_label(self) -> str:
        """The regime in words; "" where nobody needs it to tell the lines apart."""
        return regime_words(self.regime) if self.several and self.regime not in UNNAMED else ""

    @property
    def label(self) -> str:
        return ", ".join(filter(None, (self.model, self.regime_label)))


def lines(study: Study) -> list[Line]:
    """Pair the cells of both protocols, in the order of the study; the paper's other rows last."""
    pairs: dict[tuple[str, ...], dict[str, Cell]] = {}
    for cell in study.cells:
        key: tuple[str, ...] = (cell.model, cell.regime, cell.backbone, cell.stands_in_for)
        while cell.protocol in pairs.get(key, {}):
            key = (*key, "again")
        pairs.setdefault(key, {})[cell.protocol] = cell
    regimes = {cell.regime for cell in study.cells} | {row.regime for row in study.published}
    several = len(regimes - {""}) > 1
    found = [_line(study, pair, several) for pair in pairs.values()]
    return [*found, *_left_out(study.published, found, several)]


def shown_first(found: Sequence[Line]) -> Line | None:
    """Return the line that the first screen speaks of: the one the paper claims most for.

    Where the paper has no number for what was run, it is the first line that was run. It is not
    chosen by our own results: the best of several test results would flatter.
    """
    measured = [line for line in found if line.measured]
    claimed = [line for line in measured if line.paper_accuracy is not None]
    whole = [line for line in claimed if len([c for c in line.cells if c.measured]) > 1]
    if best := whole or claimed:
        return max(best, key=lambda line: line.paper_accuracy or 0.0)
    return measured[0] if measured else None


def _line(study: Study, pair: Mapping[str, Cell], several: bool) -> Line:
    cell = next(iter(pair.values()))
    paper = _paper_row(study.published, cell)
    given = [c.paper_accuracy for c in pair.values() if c.paper_accuracy is not None]
    gap = _gap(study.gaps, pair)
    return Line(
        model=cell.model,
        regime=cell.regime,
        several=several,
        paper=paper,
        paper_accuracy=given[0] if given else (paper.accuracy if paper else None),
        published=pair.get(PUBLISHED),
        honest=pair.get(HONEST),
        gap=gap.get("gap"),
        sentence=str(gap.get("sentence") or ""),
        caution=str(gap.get("caution") or ""),
    )


def _paper_row(rows: Sequence[PaperRow], cell: Cell) -> PaperRow | None:
    names = [name for name in (cell.stands_in_for, cell.model) if name]
    for name in names:
        for row in rows:
            if row.model == name and (row.regime or cell.regime) == cell.regime:
                return row
    return None


def _gap(gaps: Sequence[Mapping[str, Any]], pair: Mapping[str, Cell]) -> Mapping[str, Any]:
    if not all(protocol in pair and pair[protocol].measured for protocol in (HONEST, PUBLISHED)):
        return {}
    names = {cell.name for cell in pair.values()}
    one = pair[HONEST]
    by_name = [gap for gap in gaps if gap.get("name") in names]
    if by_name:
        return by_name[0]
    alike = [g for g in gaps if (g.get("model"), g.get("regime")) == (one.model, one.regime)]
    return alike[0] if alike else {}


def _left_out(rows: Sequence[PaperRow], found: Sequence[Line], several: bool) -> Iterator[Line]:
    """Yield lines for the paper's rows that no cell covers."""
    covered = [line.paper for line in found]
    for row in rows:
        if not any(row is other for other in covered):
            yield Line(row.model, row.regime, several, row, row.accuracy, None, None, None, "")


def accuracy_of(cell: Cell | None) -> float | None:
    return bounds(cell.accuracy)[0] if cell is not None else None
