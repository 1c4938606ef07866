"""How long ours takes and how long the other way: in turns, so that a noisy machine hits both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of some repeats, the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Line:
    """One line of a table: what ours reached, what the other way did, and their ratio.

    Attributes:
        what: what was done.
        other: the way that ours is held against, or "".
        unit: of `ours` and `others`: "images/s", "s", "MiB", …
        ours: median and range over the repeats.
        others: likewise; None: there is no other way, or `why_not` says why it did not run.
        ratio: how many times better ours is, of neighbouring repeats; None without `others`.
        mark: what the ratio (or, without one, the value) must reach; None: no mark.
        larger: whether more of the unit is better.
        why_not: why the other way was not measured ("not installed: tensorflow"), or "".
        note: what a reader must know.
    """

    what: str
    other: str
    unit: str
    ours: Spread
    others: Spread | None = None
    ratio: Spread | None = None
    mark: float | None = None
    larger: bool = True
    why_not: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the mark is reached; None: no mark, or nothing to hold it against."""
        if self.mark is None or (self.ratio is None and self.other):
            return None
        if self.ratio is not None:
            return self.ratio.median >= self.mark
        return self.ours.median >= self.mark if self.larger else self.ours.median <= self.mark

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**{k: _plain(v) for k, v in vars(self).items()}, "met": self.met}


def _plain(value: Any) -> Any:
    return dict(vars(value)) if isinstance(value, Spread) else value


class Took(float):
    """Seconds that a way measured itself: what it returns in place of the clock's."""


def seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of one call, or those it `Took`."""
    started = time.perf_counter()
    found = work()
    spent = time.perf_counter() - started
    return float(found) if isinstance(found, Took) else spent


def in_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, warm: int = 1
) -> dict[str, list[float]]:
    """Return seconds a way and repeat: each repeat runs every way once, after `warm` rounds."""
    for _ in range(warm):
        for work in ways.values():
            work()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            found[name].append(seconds(work))
    return found


def value_line(
    what: str,
    values: list[float],
    unit: str,
    *,
    mark: float | None = None,
    larger: bool = False,
    note: str = "",
) -> Line:
    """Return the line of something that has no other way."""
    return Line(what, "", unit, Spread.of(values), mark=mark, larger=larger, note=note)


def not_measured(
    what: str, other: str, ours: list[float], unit: str, why: str, mark: float | None = None
) -> Line:
    """Return the line of a way that could not run, beside ours that did."""
    larger = unit.endswith("/s")
    return Line(what, other, unit, Spread.of(ours), mark=mark, larger=larger, why_not=why)


def rate_line(
    what: str,
    amount: float,
    times: Mapping[str, list[float]],
    other: str,
    *,
    ours: str = "ours",
    unit: str = "images/s",
    mark: float | None = None,
    note: str = "",
) -> Line:
    """Return the line of something that is counted a second; `times` as `in_turns` gives them."""
    mine, others = times[ours], times[other]
    ratio = [b / a for a, b in zip(mine, others, strict=True)]
    return Line(
        what,
        other,
        unit,
        Spread.of([amount / t for t in mine]),
        Spread.of([amount / t for t in others]),
        Spread.of(ratio),
        mark,
        note=note,
    )


def time_line(
    what: str,
    times: Mapping[str, list[float]],
    other: str,
    *,
    ours: str = "ours",
    mark: float | None = None,
    note: str = "",
) -> Line:
    """Return the line of something that takes seconds; the ratio is other / ours."""
    mine, others = times[ours], times[other]
    ratio = [b / a for a, b in zip(mine, others, strict=True)]
    return Line(
        what, other, "s", Spread.of(mine), Spread.of(others), Spread.of(ratio), mark, False,
        note=note,
    )  # fmt: skip
