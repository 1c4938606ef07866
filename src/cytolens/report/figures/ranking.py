"""The ranking of explanation methods, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cytolens.report.figures.canvas import new_figure, short
from cytolens.report.palette import BLUE, MUTED, PAPER


@dataclass(frozen=True)
class Ranked:
    """A method: its place (1 is best) with an interval, and whether it passed the tests."""

    title: str
    rank: float
    low: float | None
    high: float | None
    trusted: bool


def draw(rows: Sequence[Ranked]) -> Figure:
    """Draw a row a method, the best above; those found wanting are hollow and grey."""
    figure = new_figure(0.65 + 0.24 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        colour = BLUE if row.trusted else MUTED
        if row.low is not None and row.high is not None:
            style = "solid" if row.trusted else (0, (3, 1.5))
            axes.hlines(place, row.low, row.high, color=colour, linewidth=1.3, linestyle=style)
        axes.plot(
            row.rank, place, linestyle="none", marker="o" if row.trusted else "s", markersize=5,
            color=colour, markerfacecolor=colour if row.trusted else PAPER,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [short(row.title, 26) for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0.5, len(rows) + 0.5), xlabel="Rank (1 is best)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    return figure
