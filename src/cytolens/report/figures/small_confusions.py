"""Confusion matrices of several models, small, beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cytolens.report.figures.canvas import new_figure, short
from cytolens.report.figures.confusion import row_shares
from cytolens.report.palette import BLUE, INK, ON_BLUE, RED

ACROSS = 4
_WIDTH = 7.2  # inches
_NUMBERS_UP_TO = 8  # classes; with more, the cells are too small for numbers
_BRIEF = 6  # letters of a class name that fits below a column


@dataclass(frozen=True)
class Panel:
    """One matrix: its title, the lines below, counts [k][k] with true classes down, its classes."""

    title: str
    below: str
    counts: Sequence[Sequence[int]]
    classes: Sequence[str]
    leaks: bool


def draw(panels: Sequence[Panel | None]) -> Figure:
    """Draw the panels, `ACROSS` in a row; None leaves a place empty."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(2.15 * down + 0.2, _WIDTH * across / ACROSS)
    places = figure.subplots(down, across, squeeze=False)
    for place, axes in enumerate(places.flat):
        panel = panels[place] if place < len(panels) else None
        if panel is None:
            axes.set_axis_off()
        else:
            _panel(axes, panel, named=place % across == 0)
    return figure


def _panel(axes: Axes, panel: Panel, *, named: bool) -> None:
    counts, shares = np.asarray(panel.counts), row_shares(panel.counts)
    k = len(panel.classes)
    for row in range(k):
        for column in range(k):
            share = shares[row, column]
            fill = (*to_rgb(BLUE), 0.04 + 0.96 * share)
            box = (column + 0.03, row + 0.03)
            axes.add_patch(Rectangle(box, 0.94, 0.94, facecolor=fill, edgecolor="none"))
            if k <= _NUMBERS_UP_TO:
                axes.text(
                    column + 0.5, row + 0.5, f"{counts[row, column]:.0f}", ha="center",
                    va="center", size=7 if k <= 5 else 5.5, color=ON_BLUE if share > 0.6 else INK,
                    alpha=1.0 if counts[row, column] else 0.5,
                )  # fmt: skip
    middles = np.arange(k) + 0.5
    axes.set(xlim=(0, k), ylim=(k, 0), aspect="equal")
    size = 6.5 if k <= _NUMBERS_UP_TO else 5
    across, down = _names(panel.classes, named)
    axes.set_xticks(middles, across, size=size)
    axes.set_yticks(middles, down, size=size)
    axes.grid(False)
    axes.tick_params(length=0, pad=1.5)
    axes.spines[:].set_visible(False)
    lines = panel.below.count("\n") + 1
    axes.set_title(short(panel.title, 25), loc="left", size=7, weight="bold", pad=5 + 8 * lines)
    axes.text(
        0, 1.03, panel.below, transform=axes.transAxes, size=6.5,
        color=RED if panel.leaks else INK,
    )  # fmt: skip


def _names(classes: Sequence[str], named: bool) -> tuple[list[str], list[str]]:
    """Return the labels across and down: names where brief, else numbers with a key at the left."""
    if max(map(len, classes)) <= _BRIEF:
        return list(classes), list(classes)
    numbers = [str(place + 1) for place in range(len(classes))]
    keys = [f"{short(name)}  {number}" for name, number in zip(classes, numbers, strict=True)]
    return numbers, keys if named else numbers
