"""Precision against recall, a class against the rest."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from cytolens.report.figures.canvas import (
    colour,
    dash,
    legend_below,
    new_figure,
    short,
    unit_square,
)
from cytolens.report.ranking_curves import Curve


def draw(curves: Sequence[tuple[str, Curve | None, str]]) -> Figure:
    """Draw (class, curve, average precision as text) as steps."""
    columns = 2 if len(curves) > 3 else 1
    figure = new_figure(3.35 + 0.17 * -(-len(curves) // columns))
    axes = figure.add_subplot()
    for index, (name, curve, average) in enumerate(curves):
        if curve is not None:
            axes.step(
                curve.x, curve.y, where="pre", color=colour(index), linestyle=dash(index),
                label=f"{short(name)}  {average}",
            )  # fmt: skip
    unit_square(axes)
    axes.set(xlabel="Recall", ylabel="Precision")
    legend_below(figure, axes, columns)
    return figure
