"""Images as an encoder places them: a dot an image, a colour and a marker a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cytolens.report.figures.canvas import colour, legend_below, new_figure, short
from cytolens.report.palette import MARKERS, MUTED, PAPER

_MARKERS = (*MARKERS, "X", "<", ">", "*", "p", "h", "d")  # more than colours: pairs stay unique
_MANY = 600  # dots; beyond this they are drawn as a picture within the SVG
_TURNS = 20  # in which the dots of many images are drawn, some of each class a turn


def draw(xy: ArrayLike, labels: Sequence[str], classes: Sequence[str]) -> Figure:
    """Draw a scatter. The axes have no unit, and so no numbers.

    Args:
        xy: [n, 2].
        labels: class name of each image [n].
        classes: all classes in order; their place gives colour and marker.
    """
    points, names = np.asarray(xy, np.float64).reshape(-1, 2), np.asarray(labels, object)
    columns = 2 if len(classes) > 3 else min(3, max(1, len(classes)))
    figure = new_figure(3.35 + 0.17 * -(-len(classes) // columns))
    axes = figure.add_subplot()
    many = len(points) > _MANY
    size = float(np.clip(3000 / max(len(points), 1), 7, 22))
    turns = _TURNS if many else 1
    for turn in range(turns):  # so that no class covers the others
        for index, name in enumerate(classes):
            mine = points[names == name]
            some = mine[turn::turns]
            if len(some):
                axes.scatter(
                    some[:, 0], some[:, 1], size, color=colour(index),
                    alpha=1.0 if many else 0.85, marker=_MARKERS[index % len(_MARKERS)],
                    linewidth=0.0 if many else 0.25, edgecolor=PAPER,
                    label=None if turn else f"{short(name)}  {len(mine)}",
                )  # fmt: skip
    if many:
        axes.set_rasterization_zorder(1.5)  # the dots, all in one picture, without the paper
        axes.patch.set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(MUTED)
    legend_below(figure, axes, columns)
    return figure
