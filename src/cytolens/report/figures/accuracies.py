"""The paper's accuracy of each model beside ours under both protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cytolens.report.figures.canvas import legend_below, new_figure, short
from cytolens.report.palette import BLUE, INK, PAPER, RED
from cytolens.report.text import Score, bounds

_WIDTH = 6.2  # inches
_PAPER, _PUBLISHED, _HONEST = -0.24, 0.0, 0.24  # heights about a row's place


@dataclass(frozen=True)
class AccuracyRow:
    """Shares, each None where there is none."""

    label: str
    paper: float | None
    published: Score
    honest: Score


def draw(rows: Sequence[AccuracyRow]) -> Figure:
    """Draw a row a model: the paper's number, then ours with whiskers."""
    figure = new_figure(0.75 + 0.4 * len(rows), _WIDTH)
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color=INK, alpha=0.035, linewidth=0)
        if row.paper is not None:
            axes.plot(
                100 * row.paper, place + _PAPER, linestyle="none", marker="D", markersize=5,
                color=INK, markerfacecolor=PAPER,
            )  # fmt: skip
        _dot(axes, row.published, place + _PUBLISHED, RED, "s")
        _dot(axes, row.honest, place + _HONEST, BLUE, "o")
    axes.set_yticks(range(len(rows)), [short(row.label, 40) for row in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="Accuracy, %")
    left, _ = axes.get_xlim()
    axes.set_xlim(min(left, 97.0), 100.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    _legend(figure, axes, rows)
    return figure


def _dot(axes: Axes, score: Score, height: float, colour: str, marker: str) -> None:
    value, low, high = bounds(score)
    if value is None:
        return
    ends = (value if low is None else low, value if high is None else high)
    axes.hlines(height, 100 * ends[0], 100 * ends[1], color=colour, linewidth=1.4)
    axes.plot(100 * value, height, linestyle="none", marker=marker, markersize=4.5, color=colour)


def _legend(figure: Figure, axes: Axes, rows: Sequence[AccuracyRow]) -> None:
    if any(row.paper is not None for row in rows):
        axes.plot(
            [], [], linestyle="none", marker="D", color=INK, markerfacecolor=PAPER,
            label="The paper",
        )  # fmt: skip
    if any(bounds(row.published)[0] is not None for row in rows):
        axes.plot([], [], marker="s", color=RED, label="Ours, its protocol (leaks)")
    if any(bounds(row.honest)[0] is not None for row in rows):
        axes.plot([], [], marker="o", color=BLUE, label="Ours, honest")
    legend_below(figure, axes, 3)
