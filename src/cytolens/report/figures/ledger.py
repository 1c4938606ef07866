"""The leak ledger: accuracy of each protocol with its interval, against the honest reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cytolens.report.figures.canvas import legend_below, new_figure
from cytolens.report.palette import BLUE, INK, MUTED, PAPER, RED
from cytolens.report.text import Score, bounds
from cytolens.report.views.ledger import signed_points

_NAME, _OWN = -0.34, 0.22  # heights about a row's place
_WIDTH = 5.2  # inches


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a dot with whiskers a row, its name above and what it adds at the right.

    Args:
        rows: rows of ledger.json with an accuracy, the honest reference first.
    """
    figure = new_figure(0.75 + 0.46 * len(rows), _WIDTH)
    axes = figure.add_subplot()
    reference = bounds(rows[0]["accuracy"])[0]
    if reference is not None:
        axes.axvline(reference, color=BLUE, linewidth=0.9, linestyle=(0, (5, 2)))
    ends: list[float] = []
    for place, row in enumerate(rows):
        honest = row["protocol"] == "honest"
        colour, marker = (BLUE, "o") if honest else (RED, "s")
        ends += _dot(axes, row["accuracy"], place, colour, marker)
        if row["reference"] is not None:
            ends += _dot(axes, row["reference"]["accuracy"], place + _OWN, BLUE, "o")
        _name(axes, row, place)
    span = max(max(ends) - min(ends), 0.05)
    axes.set(ylim=(len(rows) - 0.55, -0.65), xlim=_limits(ends, span), yticks=[])
    axes.set_xlabel("accuracy")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.plot([], [], linestyle="-", marker="o", color=BLUE, label="Honest protocol")
    axes.plot([], [], linestyle="-", marker="s", color=RED, label="Published protocol (leaks)")
    legend_below(figure, axes, 2)
    return figure


def _limits(ends: Sequence[float], span: float) -> tuple[float, float]:
    return max(-0.02, min(ends) - 0.1 * span), min(1.02, max(ends) + 0.1 * span)


def _dot(axes: Axes, score: Score, height: float, colour: str, marker: str) -> list[float]:
    """Draw one score and return the ends of its whiskers."""
    value, low, high = bounds(score)
    if value is None:
        return []
    ends = [value if low is None else low, value if high is None else high]
    axes.hlines(height, ends[0], ends[1], color=colour, linewidth=1.6)
    axes.plot(value, height, linestyle="none", marker=marker, markersize=5.5, color=colour)
    axes.annotate(
        f"{value:.3f}", (value, height), xytext=(0, -5), textcoords="offset points",
        ha="center", va="top", size=6.5, color=INK,
    )  # fmt: skip
    return ends


def _name(axes: Axes, row: Mapping[str, Any], place: float) -> None:
    """Write the protocol at the left and what it adds at the right, above the whiskers."""
    across = axes.get_yaxis_transform()
    height = place + _NAME
    ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}
    axes.text(
        0, height, row["title"], transform=across, va="center", size=7.5, weight="bold", bbox=ground
    )
    if row["inflation"] is not None:
        said = f"{signed_points(row['inflation']['accuracy'])} points"
        axes.text(
            1, height, said, transform=across, va="center", ha="right", size=7, color=MUTED,
            bbox=ground,
        )  # fmt: skip
