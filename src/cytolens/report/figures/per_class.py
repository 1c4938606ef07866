"""Scores of each class (or of each subgroup) with their intervals, as dots and whiskers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from cytolens.report.figures.canvas import legend_below, new_figure, short
from cytolens.report.palette import COLOURS, MARKERS
from cytolens.report.text import bounds

SHOWN: tuple[tuple[str, str], ...] = (
    ("recall", "Recall"),
    ("precision", "Precision"),
    ("f1", "F1"),
)


def draw(
    per_class: Mapping[str, Mapping[str, Any]],
    classes: Sequence[str],
    shown: Sequence[tuple[str, str]] = SHOWN,
) -> Figure:
    """Draw a row a class; scores that are undefined are left out.

    Args:
        per_class: {class: {key: score}}.
        classes: the rows, from above.
        shown: (key, label) of the scores, at most as many as there are colours.
    """
    figure = new_figure(max(2.2, 0.75 + 0.46 * len(classes)))
    axes = figure.add_subplot()
    lowest = 1.0
    for index, (key, label) in enumerate(shown):
        shift = 0.22 * (index - 1)
        rows, values, lows, highs = [], [], [], []
        for row, name in enumerate(classes):
            value, low, high = bounds(per_class.get(name, {}).get(key))
            if value is not None:
                rows.append(row + shift)
                values.append(value)
                lows.append(value if low is None else low)
                highs.append(value if high is None else high)
        axes.hlines(rows, lows, highs, color=COLOURS[index], linewidth=1.2)
        axes.plot(
            values, rows, linestyle="none", marker=MARKERS[index], markersize=4,
            color=COLOURS[index], label=label,
        )  # fmt: skip
        lowest = min([lowest, *lows])
    axes.set_yticks(range(len(classes)), [short(name) for name in classes])
    axes.set(ylim=(len(classes) - 0.5, -0.5), xlim=(max(-0.02, lowest - 0.05), 1.02))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    legend_below(figure, axes, len(shown))
    return figure
