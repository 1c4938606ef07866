"""Training curves of several models, small: accuracy above loss, the mean over the folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cytolens.report.figures.canvas import legend_below, new_figure, short
from cytolens.report.figures.training import PARTS, Training
from cytolens.report.palette import COLOURS, DASHES, INK, RED

ACROSS = 4
_MEASURES = ("accuracy", "loss")
_WIDTH = 7.2  # inches


@dataclass(frozen=True)
class CurvePanel:
    """One model under one protocol: its title and the lines below it."""

    title: str
    below: str
    training: Training
    leaks: bool


def draw(panels: Sequence[CurvePanel | None]) -> Figure:
    """Draw the panels, `ACROSS` in a row; None leaves a place empty."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(2.9 * down + 0.35, _WIDTH * across / ACROSS)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.06))
    places = figure.subplots(2 * down, across, squeeze=False)
    for place in range(down * across):
        panel = panels[place] if place < len(panels) else None
        row, column = divmod(place, across)
        pair = [places[2 * row + i, column] for i in range(2)]
        if panel is None:
            for axes in pair:
                axes.set_axis_off()
        else:
            _panel(pair, panel, labelled=column == 0)
    most = max(places.flat, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    legend_below(figure, most, 2)
    return figure


def _panel(pair: Sequence[Axes], panel: CurvePanel, *, labelled: bool) -> None:
    for axes, measure in zip(pair, _MEASURES, strict=True):
        for index, part in enumerate(PARTS):
            mean = together(panel.training.values[measure][part])
            if np.isfinite(mean).any():
                axes.plot(
                    panel.training.epochs, mean, color=COLOURS[index], linestyle=DASHES[index],
                    linewidth=1.2, marker="o" if len(mean) == 1 else None, markersize=3,
                    label=part.capitalize(),
                )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.tick_params(labelsize=6)
        if labelled:
            axes.set_ylabel(measure.capitalize(), size=7)
    pair[0].set_ylim(top=1.02)
    pair[0].tick_params(labelbottom=False)
    pair[1].set_ylim(bottom=0)
    pair[1].set_xlabel("Epoch", size=7)
    lines = panel.below.count("\n") + 1
    pair[0].set_title(short(panel.title, 28), loc="left", size=7, weight="bold", pad=5 + 8 * lines)
    pair[0].text(
        0, 1.05, panel.below, transform=pair[0].transAxes, size=6.5,
        color=RED if panel.leaks else INK,
    )  # fmt: skip


def together(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over folds [epochs]; NaN where not every fold that trains still does.

    Args:
        values: float64 [folds, epochs], NaN where a fold said nothing.
    """
    seen = np.isfinite(values)
    whole = seen.sum(axis=0) == seen.any(axis=1).sum()
    mean = np.nansum(values, axis=0) / np.maximum(seen.sum(axis=0), 1)
    return np.where(whole & seen.any(), mean, np.nan)
