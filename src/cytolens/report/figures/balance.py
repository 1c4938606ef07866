"""How many images each class has."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from cytolens.report.figures.canvas import new_figure, short
from cytolens.report.palette import BLUE, MUTED
from cytolens.report.text import percent, thousands


def draw(counts: Mapping[str, int]) -> Figure:
    """Draw a bar a class, with its count and share beside it."""
    names, values = list(counts), list(counts.values())
    total = max(sum(values), 1)
    figure = new_figure(max(1.3, 0.35 + 0.3 * len(names)))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), values, height=0.62, color=BLUE, alpha=0.85)
    for row, value in enumerate(values):
        axes.annotate(
            f"{thousands(value)}  ({percent(value / total, 0)})", (value, row), xytext=(4, 0),
            textcoords="offset points", va="center", size=7,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1.32 * max([*values, 1])), xlabel="Images")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(MUTED)
    return figure
