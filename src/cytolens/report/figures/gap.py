"""The published protocol beside the honest one: both numbers, their intervals and the gap."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cytolens.report.figures.canvas import legend_below, new_figure
from cytolens.report.palette import BLUE, INK, MUTED, RED
from cytolens.report.text import Score, bounds
from cytolens.report.views.names import GapRow

_PUBLISHED, _ARROW, _HONEST, _NAME = -0.16, 0.06, 0.28, -0.42  # heights about a row's place


def draw(rows: Sequence[GapRow]) -> Figure:
    """Draw a pair of dots with whiskers a metric, joined by an arrow; its name and gap above."""
    figure = new_figure(0.75 + 0.92 * len(rows))
    axes = figure.add_subplot()
    lows = [1.0]
    for place, row in enumerate(rows):
        lows.append(_dot(axes, row.published, place + _PUBLISHED, RED, "s"))
        lows.append(_dot(axes, row.honest, place + _HONEST, BLUE, "o"))
        _arrow(axes, row, place + _ARROW)
        _name(axes, row, place + _NAME)
    left = min(lows) - 0.06
    axes.set(ylim=(len(rows) - 0.5, -0.6), xlim=(left, 1.02), yticks=[])
    axes.set_xticks([tick for tick in axes.get_xticks() if max(0.0, left) <= tick <= 1.0])
    axes.spines["left"].set_visible(False)
    axes.plot([], [], linestyle="-", marker="s", color=RED, label="Published protocol (leaks)")
    axes.plot([], [], linestyle="-", marker="o", color=BLUE, label="Honest protocol")
    legend_below(figure, axes, 2)
    return figure


def _dot(axes: Axes, score: Score, height: float, colour: str, marker: str) -> float:
    """Draw one score and return its lower end."""
    value, low, high = bounds(score)
    if value is None:
        return 1.0
    ends = (value if low is None else low, value if high is None else high)
    axes.hlines(height, *ends, color=colour, linewidth=1.6)
    axes.plot(value, height, linestyle="none", marker=marker, markersize=5.5, color=colour)
    axes.annotate(
        f"{value:.3f}",
        (ends[0], height),
        xytext=(-5, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        size=7,
        color=INK,
    )
    return ends[0]


def _arrow(axes: Axes, row: GapRow, height: float) -> None:
    """Join the two values."""
    published, honest = bounds(row.published)[0], bounds(row.honest)[0]
    if published is None or honest is None:
        return
    top, bottom = height - _ARROW + _PUBLISHED, height - _ARROW + _HONEST
    axes.vlines([published, honest], top, bottom, color=MUTED, linewidth=0.5)
    arrow = {"arrowstyle": "<|-|>", "color": INK, "linewidth": 0.8, "mutation_scale": 7}
    ends = {"shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (honest, height), (published, height), arrowprops=arrow | ends)


def _name(axes: Axes, row: GapRow, height: float) -> None:
    """Write the metric at the left and its gap at the right, above the pair."""
    across = axes.get_yaxis_transform()
    axes.text(0, height, row.name, transform=across, va="center", size=8, weight="bold")
    axes.text(1, height, f"gap {row.gap}", transform=across, va="center", ha="right", size=8)
