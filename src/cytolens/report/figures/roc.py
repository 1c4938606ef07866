"""ROC curves, a class against the rest."""

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
from cytolens.report.palette import MUTED
from cytolens.report.ranking_curves import Curve


def draw(curves: Sequence[tuple[str, Curve | None, str]]) -> Figure:
    """Draw (class, curve, AUC as text); a class without a curve keeps its colour for the others."""
    figure = new_figure(3.35 + 0.17 * _legend_rows(len(curves)))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    for index, (name, curve, auc) in enumerate(curves):
        if curve is not None:
            axes.plot(
                curve.x, curve.y, color=colour(index), linestyle=dash(index),
                label=f"{short(name)}  {auc}",
            )  # fmt: skip
    unit_square(axes)
    axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="Sensitivity")
    legend_below(figure, axes, _columns(len(curves)))
    return figure


def _columns(count: int) -> int:
    return 2 if count > 3 else 1


def _legend_rows(count: int) -> int:
    return -(-count // _columns(count))
