"""The results: the overall table, the table a class, and the gallery of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.report.mistakes import confident_mistakes
from cytolens.report.run_folder import RunFolder
from cytolens.report.text import (
    bounds,
    counted,
    interval_text,
    number,
    percent,
    thousands,
)
from cytolens.report.views.names import OVERALL, PER_CLASS
from cytolens.report.views.picture import Picture


@dataclass(frozen=True)
class Overall:
    """One row of the overall table."""

    title: str
    words: str
    value: str
    interval: str


@dataclass(frozen=True)
class Cell:
    """A score and its interval as text, and the number to sort by ("" where undefined)."""

    text: str
    interval: str
    key: str


@dataclass(frozen=True)
class ClassRow:
    """One class: its images, and its scores in the order of `names.PER_CLASS`."""

    name: str
    support: Cell
    cells: list[Cell]


@dataclass(frozen=True)
class Card:
    """One mistake in the gallery."""

    picture: Picture
    true: str
    predicted: str
    confidence: str
    true_probability: str
    id: str
    fold: int


@dataclass(frozen=True)
class Results:
    """All tables of the results section."""

    basis: str
    overall: list[Overall]
    columns: list[str]
    per_class: list[ClassRow]
    mistakes: list[Card]
    mistakes_in_all: int
    scored: int

    def pictures(self) -> Iterator[Picture]:
        for card in self.mistakes:
            yield card.picture


def results(run: RunFolder) -> Results:
    """Return the tables."""
    cards, wrong = _mistakes(run)
    return Results(
        basis=_basis(run),
        overall=[
            Overall(
                name.title,
                name.words,
                number(bounds(run.metrics.get(key))[0]),
                interval_text(run.metrics.get(key)),
            )
            for key, name in OVERALL.items()
            if key in run.metrics
        ],
        columns=list(PER_CLASS.values()),
        per_class=[_class_row(run, name) for name in run.classes],
        mistakes=cards,
        mistakes_in_all=wrong,
        scored=len(run.scored.ids) if run.scored else 0,
    )


def _basis(run: RunFolder) -> str:
    """Say what was resampled for the intervals."""
    interval = run.metrics.get("interval") or {}
    if not interval.get("resamples"):
        return "No intervals were computed."
    plural = {"group": "groups", "image": "images"}.get(str(interval.get("unit")), "")
    unit = counted(interval["units"], str(interval["unit"]), plural)
    return (
        f"Intervals: {percent(interval.get('level', 0.95), 0)}, by drawing {unit} with "
        f"replacement {thousands(interval['resamples'])} times."
    )


def _class_row(run: RunFolder, name: str) -> ClassRow:
    scores = (run.metrics.get("per_class") or {}).get(name, {})
    support = scores.get("support")
    cells = []
    for key in PER_CLASS:
        value, low, _ = bounds(scores.get(key))
        span = "" if low is None else interval_text(scores.get(key))
        cells.append(Cell(number(value), span, "" if value is None else f"{value:.6f}"))
    return ClassRow(name, Cell(thousands(support), "", str(support or 0)), cells)


def _mistakes(run: RunFolder) -> tuple[list[Card], int]:
    if run.scored is None:
        return [], 0
    found, wrong = confident_mistakes(run.scored)
    cards = []
    for mistake in found:
        true, predicted = run.classes[mistake.true], run.classes[mistake.predicted]
        cards.append(
            Card(
                picture=Picture(run.index.file(mistake.id), f"{true} taken for {predicted}"),
                true=true,
                predicted=predicted,
                confidence=percent(mistake.confidence),
                true_probability=percent(mistake.true_probability),
                id=mistake.id,
                fold=mistake.fold,
            )
        )
    return cards, wrong
