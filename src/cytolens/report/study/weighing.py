"""What each model costs: parameters, operations, size and milliseconds a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.study.words import percent_span
from cytolens.report.text import UNDEFINED, Score, bounds, defined, number, percent

AXES = (
    ("parameters", "Parameters, millions", 1e6),
    ("multiply_adds", "Multiply-adds, millions", 1e6),
    ("megabytes", "Size, MB (float32)", 1.0),
    ("milliseconds", "Milliseconds a prediction", 1.0),
)


@dataclass(frozen=True)
class Weighed:
    """One model; `values` by the keys of `AXES`, in their units, None where unknown."""

    number: int
    label: str
    about: str
    values: dict[str, float | None]
    texts: dict[str, str]
    trained: str
    accuracy: Score
    percent: str
    interval: str


@dataclass(frozen=True)
class Weighing:
    """`engine` is what the milliseconds were measured with, or ""."""

    rows: list[Weighed]
    engine: str


def weighing(rows: Sequence[Mapping[str, Any]]) -> Weighing | None:
    """Return the table; None when no model was weighed."""
    found = [_row(place + 1, row) for place, row in enumerate(rows)]
    if not any(value is not None for row in found for value in row.values.values()):
        return None
    engines = list(dict.fromkeys(str(row["engine"]) for row in rows if row.get("engine")))
    return Weighing(found, ", ".join(engines))


def _row(place: int, row: Mapping[str, Any]) -> Weighed:
    values = {key: _scaled(row.get(key), unit) for key, _, unit in AXES}
    model, backbone = str(row.get("model") or ""), str(row.get("backbone") or "")
    return Weighed(
        number=place,
        label=model or backbone,
        about=backbone if backbone and backbone != model else "",
        values=values,
        texts={key: _significant(value) for key, value in values.items()},
        trained=_significant(_scaled(row.get("trained_parameters"), 1e6)),
        accuracy=row.get("accuracy"),
        percent=percent(bounds(row.get("accuracy"))[0]),
        interval=percent_span(row.get("accuracy")),
    )


def _scaled(value: object, unit: float) -> float | None:
    found = defined(value)
    return None if found is None else found / unit


def _significant(value: float | None) -> str:
    """Return three digits that count: 0.0051, 2.23, 23.5, 4087."""
    if value is None:
        return UNDEFINED
    if value == 0:
        return "0"
    for limit, digits in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= limit:
            return number(value, digits)
    return number(value, 4)
