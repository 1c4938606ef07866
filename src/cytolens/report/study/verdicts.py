"""Which model is better than which, by paired tests: a matrix a protocol, and the regimes apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cytolens.report.study.lines import Line
from cytolens.report.study.study import HONEST, PUBLISHED, Cell
from cytolens.report.study.words import percent_span, points, points_span, regime_words
from cytolens.report.text import UNDEFINED, bounds, counted, defined, number, percent, thousands
from cytolens.report.views.names import OVERALL

_BETTER, _WORSE = "better", "worse"
_SIGNS = {_BETTER: "▲", _WORSE: "▼"}
_OPPOSITE = {_BETTER: _WORSE, _WORSE: _BETTER}
_NOT_SHOWN = "not shown to differ"


@dataclass(frozen=True)
class Verdict:
    """The row's model against the column's; `sign` is ▲, ▼ or ≈, `points` the difference."""

    sign: str
    points: str
    kind: str
    words: str


@dataclass(frozen=True)
class MatrixRow:
    """One model: its number, label, score with interval, and a verdict a column (None: itself)."""

    number: int
    label: str
    score: str
    interval: str
    verdicts: list[Verdict | None]


@dataclass(frozen=True)
class Matrix:
    """All pairs under one protocol. `regimes` are sentences about regimes of one model."""

    protocol: str
    leaks: bool
    score: str
    basis: str
    rows: list[MatrixRow]
    regimes: list[str]


def matrices(comparisons: Mapping[str, Mapping[str, Any]], found: Sequence[Line]) -> list[Matrix]:
    """Return a matrix for each protocol that was compared, the honest one first."""
    order = sorted(comparisons, key=lambda protocol: protocol != HONEST)
    return [
        _matrix(protocol, comparisons[protocol], found)
        for protocol in order
        if len(comparisons[protocol].get("runs") or []) > 1
    ]


def _matrix(protocol: str, comparison: Mapping[str, Any], found: Sequence[Line]) -> Matrix:
    named = _cells(protocol, found)
    runs = list(comparison["runs"])
    verdicts = dict(_verdicts(comparison.get("pairs") or []))
    labels = {run["name"]: _label(run["name"], named, found) for run in runs}
    rows = [
        MatrixRow(
            place + 1,
            labels[run["name"]],
            percent(bounds(run)[0]),
            percent_span(run),
            [
                None if run is other else verdicts.get((run["name"], other["name"]), _UNTESTED)
                for other in runs
            ],
        )
        for place, run in enumerate(runs)
    ]
    score = OVERALL.get(str(comparison.get("score")))
    return Matrix(
        protocol=protocol,
        leaks=protocol == PUBLISHED,
        score=(score.title if score else str(comparison.get("score") or "score")).lower(),
        basis=_basis(comparison),
        rows=rows,
        regimes=list(_regimes(comparison.get("pairs") or [], named)),
    )


_UNTESTED = Verdict("", UNDEFINED, "untested", "not compared")


def _verdicts(pairs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], Verdict]]:
    """Yield the verdict of (row, column) both ways round."""
    for pair in pairs:
        difference, kind = pair.get("difference"), str(pair.get("verdict"))
        yield (pair["second"], pair["first"]), _verdict(kind, difference, pair)
        turned = _turned(difference)
        other = _verdict(_OPPOSITE.get(kind, kind), turned, pair)
        yield (pair["first"], pair["second"]), other


def _turned(difference: Any) -> dict[str, float | None]:
    value, low, high = bounds(difference)
    return {
        "value": None if value is None else -value,
        "low": None if high is None else -high,
        "high": None if low is None else -low,
    }


def _verdict(kind: str, difference: Any, pair: Mapping[str, Any]) -> Verdict:
    span = points_span(difference)
    words = f"{kind}: {points(difference)} points" + (f", {span}" if span else "") + _p(pair)
    return Verdict(_SIGNS.get(kind, "≈"), points(difference), kind.split()[0], words)


def _p(pair: Mapping[str, Any]) -> str:
    p = defined(pair.get("p_holm"))
    if p is None:
        return ""
    return "; p < 0.001 after Holm" if p < 0.001 else f"; p = {number(p)} after Holm"


def _regimes(pairs: Sequence[Mapping[str, Any]], named: Mapping[str, Cell]) -> Iterator[str]:
    """Say of each model what its other regimes are against fine-tuning."""
    for pair in pairs:
        first, second = named.get(pair["first"]), named.get(pair["second"])
        if first is None or second is None or first.regime == second.regime:
            continue
        if (first.model, first.backbone) != (second.model, second.backbone):
            continue
        if "finetune" not in (first.regime, second.regime):
            continue
        kind, difference = str(pair.get("verdict")), pair.get("difference")
        tuned = second
        if second.regime == "finetune":
            kind, difference, tuned = _OPPOSITE.get(kind, kind), _turned(difference), first
        verdict = _verdict(kind, difference, pair)
        said = kind if kind == _NOT_SHOWN else f"{kind} than fine-tuning"
        said = f"{kind} from fine-tuning" if kind == _NOT_SHOWN else said
        rest = verdict.words.partition(": ")[2]
        yield f"{tuned.model}, {regime_words(tuned.regime)}: {said} ({rest})."


def _basis(comparison: Mapping[str, Any]) -> str:
    said = f"{counted(int(comparison.get('n') or 0), 'image')}"
    if comparison.get("resamples") and comparison.get("units"):
        unit = {"group": "groups", "image": "images"}.get(str(comparison.get("unit")), "units")
        said += (
            f"; paired bootstrap, {thousands(comparison['resamples'])} times over "
            f"{thousands(comparison['units'])} {unit}; corrected for the number of pairs (Holm), "
            "at p < .05"
        )
    return said


def _cells(protocol: str, found: Sequence[Line]) -> dict[str, Cell]:
    """Return the cells by each name that a comparison may give them."""
    named: dict[str, Cell] = {}
    for line in found:
        for cell in line.cells:
            if cell.protocol == protocol:
                named[cell.name] = cell
                if cell.run is not None:
                    place = PurePosixPath(cell.run.path.as_posix())
                    named.setdefault(place.name, cell)
                    named.setdefault(f"{protocol}/{place.name}", cell)
    return named


def _label(name: str, named: Mapping[str, Cell], found: Sequence[Line]) -> str:
    """Return the label of the line that a compared run belongs to, else the run's own name."""
    cell = named.get(name)
    return next((line.label for line in found if any(one is cell for one in line.cells)), name)
