"""Where the time of a run went."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cytolens.report.figures.canvas import new_figure, short
from cytolens.report.palette import BLUE, MUTED
from cytolens.report.text import seconds


def draw(stages: Sequence[tuple[str, float]]) -> Figure:
    """Draw a bar a stage, (name, seconds), with its seconds beside it."""
    names, values = [name for name, _ in stages], [value for _, value in stages]
    figure = new_figure(max(1.3, 0.35 + 0.3 * len(names)))
    axes = figure.add_subplot()
    axes.barh(range(len(names)), values, height=0.62, color=BLUE, alpha=0.85)
    for row, value in enumerate(values):
        axes.annotate(
            seconds(value), (value, row), xytext=(4, 0), textcoords="offset points", va="center",
            size=7,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    most = max([*values, 1e-3])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1.32 * most), xlabel="Seconds")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(MUTED)
    return figure
