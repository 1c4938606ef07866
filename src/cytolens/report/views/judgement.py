"""How the explanation methods were put to the test, as tables and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.explanations import FLOOR, Explanations
from cytolens.report.text import (
    bounds,
    counted,
    defined,
    interval_text,
    number,
    percent,
    seconds,
    thousands,
)

NOT_BETTER = "does not beat the random map"
NOT_CHANGED = "did not change when the network was randomised"


@dataclass(frozen=True)
class Measure:
    """A column: its title, what it says, and whether more is better."""

    key: str
    title: str
    words: str
    more_is_better: bool


FAITHFULNESS = (
    Measure("deletion", "Deletion", "probability left as the hottest pixels go", False),
    Measure("insertion", "Insertion", "probability won as they come", True),
    Measure("average_drop", "Average drop", "share lost where only the map is seen", False),
    Measure("increase", "Increase", "images that gain by it", True),
)
PLAUSIBILITY = (
    Measure("energy_nucleus", "Energy in nucleus", "share of the map", True),
    Measure("energy_cell", "Energy in cell", "share of the map", True),
    Measure("pointing_nucleus", "Points at nucleus", "share of the images", True),
    Measure("pointing_cell", "Points at cell", "share of the images", True),
    Measure("iou_nucleus", "IoU with nucleus", "at the same area", True),
    Measure("iou_cell", "IoU with cell", "at the same area", True),
)


@dataclass(frozen=True)
class Cell:
    """A score and its interval as text, the number to sort by ("" undefined), and the best mark."""

    text: str
    interval: str
    key: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One method: `doubt` is why it is not shown as insight, "" where it may be."""

    title: str
    floor: bool
    doubt: str
    cells: list[Cell]
    empty: str
    seconds: str
    seconds_key: str
    likeness: str
    likeness_key: str


@dataclass(frozen=True)
class Table:
    """One table of the judgement; `timed` where it also tells time and sanity."""

    caption: str
    measures: Sequence[Measure]
    rows: list[Row]
    timed: bool


@dataclass(frozen=True)
class Judgement:
    """The tables, and sentences on how they came about and what they say."""

    basis: str
    sentences: list[str]
    tables: list[Table]


def judgement(found: Explanations) -> Judgement | None:
    """Return what `judgement.json` says; None without it."""
    content = found.judgement
    if content is None:
        return None
    tables = [_table(found, content, FAITHFULNESS, "Faithfulness: do the hot pixels matter?", True)]
    if any(_score(entry, m.key)[0] is not None for entry in _listed(content) for m in PLAUSIBILITY):
        caption = "Plausibility: does the map lie where the cell is?"
        tables.append(_table(found, content, PLAUSIBILITY, caption, False))
    return Judgement(_basis(content), list(_sentences(found, content)), tables)


def doubt(found: Explanations, method: str) -> str:
    """Return why a method is not shown as insight; "" where it may be."""
    entry = found.judged(method)
    if method == FLOOR:
        return "chance alone, the floor that every method must beat"
    if found.trusted(method) or entry is None:
        return ""
    against, reasons = entry.get("against_random") or {}, []
    verdicts = [row.get("verdict") for row in against.values() if row]
    tested = bool(verdicts and (found.judgement or {}).get("resamples"))
    if tested and ("better" not in verdicts or "worse" in verdicts):
        reasons.append(NOT_BETTER)
    sanity = entry.get("sanity")
    if sanity and not sanity.get("passed"):
        reasons.append(NOT_CHANGED)
    return "; ".join(reasons) or str(entry.get("why") or "did not pass the tests").rstrip(".")


def level_words(content: Mapping[str, Any]) -> str:
    return f"{percent(content.get('level', 0.95), 0)} interval"


def place(entry: Mapping[str, Any]) -> float:
    """Return a method's rank, to sort by."""
    return float(entry["rank"])


def _listed(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the methods, the floor last."""
    return sorted(content["methods"], key=lambda entry: entry["name"] == FLOOR)


def _score(entry: Mapping[str, Any], key: str) -> tuple[float | None, float | None, float | None]:
    return bounds(entry["scores"].get(key))


def _table(
    found: Explanations,
    content: Mapping[str, Any],
    measures: Sequence[Measure],
    caption: str,
    timed: bool,
) -> Table:
    shown = [m for m in measures if any(_score(e, m.key)[0] is not None for e in _listed(content))]
    best = {m.key: _best(found, content, m) for m in shown}
    rows = []
    for entry in _listed(content):
        stages = (entry.get("sanity") or {}).get("similarity_by_stage") or [{}]
        likeness = defined(stages[-1].get("similarity"))
        taken = defined(entry.get("seconds"))
        rows.append(
            Row(
                title=str(entry["title"]),
                floor=entry["name"] == FLOOR,
                doubt=doubt(found, entry["name"]),
                cells=[_cell(entry, m, best[m.key]) for m in shown],
                empty=_empty(entry, content),
                seconds=seconds(taken),
                seconds_key="" if taken is None else f"{taken:.6f}",
                likeness=number(likeness, 2),
                likeness_key="" if likeness is None else f"{likeness:.6f}",
            )
        )
    return Table(f"{caption} With {level_words(content)}s.", shown, rows, timed)


def _empty(entry: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    count = entry.get("empty") or 0
    return f"{thousands(count)} of {counted(content['n'], 'map')} zero" if count else ""


def _cell(entry: Mapping[str, Any], measure: Measure, best: float | None) -> Cell:
    value, low, _ = _score(entry, measure.key)
    return Cell(
        number(value),
        "" if low is None else interval_text(entry["scores"][measure.key]),
        "" if value is None else f"{value:.6f}",
        value is not None and value == best and entry["name"] != FLOOR,
    )


def _best(found: Explanations, content: Mapping[str, Any], measure: Measure) -> float | None:
    """Return the best value among methods that may be shown; None where there is none."""
    values = [
        value
        for entry in content["methods"]
        if found.trusted(entry["name"]) and (value := _score(entry, measure.key)[0]) is not None
    ]
    if not values:
        return None
    return max(values) if measure.more_is_better else min(values)


def _basis(content: Mapping[str, Any]) -> str:
    said = f"Judged on {counted(content['n'], 'image')} of the first fold’s test part."
    if content.get("resamples"):
        unit = str(content.get("unit", "image"))
        said += (
            f" Intervals: {percent(content.get('level', 0.95), 0)}, by drawing "
            f"{counted(content['units'], unit)} with replacement "
            f"{thousands(content['resamples'])} times."
        )
    return said


def _sentences(found: Explanations, content: Mapping[str, Any]) -> Iterator[str]:
    others = [entry for entry in content["methods"] if entry["name"] != FLOOR]
    passed = [str(entry["title"]) for entry in others if found.trusted(entry["name"])]
    if passed:
        yield (
            f"{thousands(len(passed))} of {counted(len(others), 'method')} beat a map drawn at "
            "random, and change when what the network has learned is randomised: "
            f"{', '.join(passed)}."
        )
    else:
        yield (
            "No method beats a map drawn at random and changes when what the network has learned "
            "is randomised: no map here is shown as insight."
        )
    if left_out := content.get("left_out"):
        said = "; ".join(f"{one['name']}: {str(one['why']).rstrip('.')}" for one in left_out)
        yield f"Left out: {said}."
    areas = [
        f"the {name} takes up {percent(share)}"
        for name, region in (content.get("regions") or {}).items()
        if (share := bounds((region or {}).get("area"))[0]) is not None
    ]
    if areas:
        yield (
            f"On average {' and '.join(areas)} of the picture: this much energy lies there by "
            "chance."
        )
    if not content.get("masks"):
        yield "The data have no masks: whether the maps lie on the cell was not measured."
