"""The confusion matrix: counts, and the share of each true class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from cytolens.report.figures.canvas import WIDTH, new_figure, short
from cytolens.report.palette import BLUE, INK, ON_BLUE

_WIDEST = 7.0
_NUMBERS_UP_TO = 14  # classes; with more, the cells are too small for numbers


def row_shares(confusion: ArrayLike) -> NDArray[np.float64]:
    """Return each row divided by its sum, [k, k]; rows without images are 0."""
    counts = np.asarray(confusion, np.float64)
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def draw(confusion: ArrayLike, classes: Sequence[str]) -> Figure:
    """Draw true classes down, predicted ones across; the deeper the blue, the larger the share."""
    counts, shares = np.asarray(confusion), row_shares(confusion)
    k = len(classes)
    width = min(_WIDEST, max(WIDTH, 0.8 + 0.52 * k))
    figure = new_figure(width * (0.92 if k > 3 else 0.86), width)
    axes = figure.add_subplot()
    for row in range(k):
        for column in range(k):
            _cell(axes, (column, row), counts[row, column], shares[row, column], k)
    places = np.arange(k) + 0.5
    axes.set(xlim=(0, k), ylim=(k, 0), aspect="equal", xlabel="Predicted", ylabel="True")
    turned = max(len(name) for name in classes) * k > 28
    names = [short(name) for name in classes]
    axes.set_xticks(places, names, rotation=35 if turned else 0, ha="right" if turned else "center")
    axes.set_yticks(places, names)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _cell(axes: Axes, corner: tuple[int, int], count: int, share: float, k: int) -> None:
    """One cell. The fill is transparent, so that it suits light and dark paper."""
    x, y = corner
    fill = (*to_rgb(BLUE), 0.04 + 0.96 * share)
    axes.add_patch(Rectangle((x + 0.02, y + 0.02), 0.96, 0.96, facecolor=fill, edgecolor="none"))
    if k > _NUMBERS_UP_TO:
        return
    ink = ON_BLUE if share > 0.85 else INK
    size = 9.0 if k <= 6 else 6.5
    if count == 0:
        axes.text(x + 0.5, y + 0.5, "0", ha="center", va="center", size=size - 2, alpha=0.55)
        return
    axes.text(x + 0.5, y + 0.42, f"{count:.0f}", ha="center", va="center", size=size, color=ink)
    axes.text(
        x + 0.5, y + 0.73, f"{100 * share:.0f} %", ha="center", va="center", size=size - 2.5,
        color=ink,
    )  # fmt: skip
