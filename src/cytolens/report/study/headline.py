"""The first screen of a study: the claim, ours under both protocols, and what leaking adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cytolens.report.study.lines import Line, shown_first
from cytolens.report.study.study import Cell, Study
from cytolens.report.study.words import as_printed, percent_span, points, points_span
from cytolens.report.text import THIN, Score, bounds, counted, percent


@dataclass(frozen=True)
class Tile:
    """One large number; `leaks` stamps it."""

    title: str
    value: str
    small: str
    leaks: bool = False


@dataclass(frozen=True)
class Headline:
    """`reasons` say why the published protocol leaks."""

    lead: str
    leak: str
    sentences: list[str]
    tiles: list[Tile]
    reasons: list[str]


def headline(study: Study, found: Sequence[Line]) -> Headline:
    """Say what the study found about the line that the paper claims most for."""
    line = shown_first(found)
    published = [cell for cell in study.cells if cell.leaks and cell.measured]
    reasons = [str(text) for cell in published for text in cell.metrics.get("leaks") or []]
    return Headline(
        lead=_lead(study, found, line),
        leak=" ".join(filter(None, (_leak(line), line.caution if line else ""))),
        sentences=list(_sentences(found, line)),
        tiles=list(_tiles(found, line)),
        reasons=list(dict.fromkeys(reasons)),
    )


def _claim(found: Sequence[Line]) -> tuple[float, str] | None:
    """Return the highest accuracy in the paper's table and whose it is."""
    claims = [
        (line.paper_accuracy, _paper_name(line)) for line in found
        if line.paper_accuracy is not None
    ]  # fmt: skip
    return max(claims, key=lambda claim: claim[0]) if claims else None


def _paper_name(line: Line) -> str:
    model = line.paper.model if line.paper else line.stands_in_for or line.model
    return ", ".join(filter(None, (model, line.regime_label)))


def _lead(study: Study, found: Sequence[Line], line: Line | None) -> str:
    claim = _claim(found)
    said = f"The paper’s best accuracy is {as_printed(claim[0])}: {claim[1]}." if claim else ""
    if line is None:
        return f"{said} Nothing of this study was run: the table says why.".strip()
    data = str(study.data.get("name") or "these data")
    parts = [line.model, line.regime_label]
    if line.stands_in_for and line.stands_in_for != line.model:
        parts.append(f"in the place of {line.stands_in_for}")
    named = [part for part in parts if part]
    what = ", ".join(named) + ("," if len(named) > 1 else "")
    numbers = [
        f"{_percent(cell.accuracy)} under {_protocol(cell)}" for cell in line.cells if cell.measured
    ]
    return f"{said} On {data}, {what} reaches {' and '.join(numbers)}.".strip()


def _protocol(cell: Cell) -> str:
    return "the paper’s protocol, which leaks," if cell.leaks else "the honest protocol"


def _percent(score: Score) -> str:
    return percent(bounds(score)[0])


def _leak(line: Line | None) -> str:
    """Say how much the published protocol, with its leak, adds to the number."""
    if line is None:
        return ""
    value, low, high = bounds(line.gap)
    if value is None:
        which = {cell.protocol for cell in line.cells if cell.measured}
        return (
            f"Only the {' and '.join(sorted(which))} protocol was run: how much of the paper’s "
            "number a leak explains cannot be said from this study."
        )
    size = points({"value": abs(value)}).lstrip("+")
    if low is None or high is None:
        return (
            f"The two differ by {points(line.gap)} percentage points; without an interval that "
            "says nothing about the leak."
        )
    span = f"95{THIN}% interval {points_span(line.gap)}"
    if low > 0:
        return (
            f"The leaking protocol adds {size} percentage points ({span}) on these data: so much "
            f"of its number is not shown to be skill on {_unknown(line)}."
        )
    if high < 0:
        return (
            f"Here the honest number is higher by {size} percentage points (difference {span}): "
            "these data show no gain by leaking."
        )
    return (
        f"The published protocol differs by {points(line.gap)} percentage points ({span}); the "
        "interval holds 0, so that on these data leaking is not shown to add anything."
    )


def _unknown(line: Line) -> str:
    grouped = line.honest is not None and _unit(line.honest) == "group"
    return "patients never met" if grouped else "images never met"


def _unit(cell: Cell) -> str:
    return str((cell.metrics.get("interval") or {}).get("unit", ""))


def _sentences(found: Sequence[Line], line: Line | None) -> Iterator[str]:
    if line is not None and line.honest is not None and line.honest.measured:
        if _unit(line.honest) != "group":
            yield (
                "The data name no patients. The honest protocol keeps near duplicates together, "
                "so that leakage between images of one patient cannot be excluded from the honest "
                "numbers either."
            )
    run = sum(one.measured for one in found)
    if run < len(found):
        yield (
            f"{run} of {counted(len(found), 'row')} of the table were run; the table says why the "
            "others were not."
        )
    if run > 1 and line is not None:
        yield (
            f"The numbers above are of {line.label}: of what was run, that for which the paper "
            "claims most."
        )


def _tiles(found: Sequence[Line], line: Line | None) -> Iterator[Tile]:
    if claim := _claim(found):
        small = claim[1]
        if line is not None and line.paper_accuracy is not None and line.paper_accuracy < claim[0]:
            small = f"{small}; for the one run here {as_printed(line.paper_accuracy)}"
        yield Tile("The paper’s best", as_printed(claim[0]), small)
    if line is None:
        return
    for cell in line.cells:
        if cell.measured:
            title = "Ours, its protocol" if cell.leaks else "Ours, honest protocol"
            small = percent_span(cell.accuracy)
            yield Tile(title, _percent(cell.accuracy), small, cell.leaks)
    if bounds(line.gap)[0] is not None:
        yield Tile("The gap, in points", points(line.gap), points_span(line.gap))
