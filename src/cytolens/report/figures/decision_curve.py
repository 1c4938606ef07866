"""Decision curves: net benefit over the probability from which on one would act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cytolens.report.figures.canvas import dash, legend_below, new_figure
from cytolens.report.palette import BLUE, COLOURS, MUTED
from cytolens.report.text import THIN

_BELOW = 0.25  # how far below zero the axis goes, as a share of what is above


@dataclass(frozen=True)
class Benefit:
    """The net benefit at a threshold: of the model, with its interval, and of taking all."""

    threshold: float
    model: float
    low: float | None
    high: float | None
    everyone: float


def draw(curve: Sequence[Benefit]) -> Figure:
    """Draw the model with its intervals, and calling all images abnormal, or none.

    What lies far below zero, worse than doing nothing, is cut off.
    """
    figure = new_figure(3.3)
    axes = figure.add_subplot()
    x = [b.threshold for b in curve]
    banded = [b for b in curve if b.low is not None and b.high is not None]
    axes.fill_between(
        [b.threshold for b in banded], [b.low or 0.0 for b in banded],
        [b.high or 0.0 for b in banded], color=BLUE, alpha=0.16, linewidth=0,
    )  # fmt: skip
    axes.plot(x, [b.model for b in curve], color=BLUE, label="By the model")
    axes.plot(
        x, [b.everyone for b in curve], color=COLOURS[1], linestyle=dash(1), label="All abnormal"
    )
    axes.axhline(0, color=MUTED, linewidth=1.0, linestyle=dash(2), label="None abnormal")
    top = max([b.high if b.high is not None else b.model for b in curve]
              + [b.everyone for b in curve] + [0.05])  # fmt: skip
    axes.set(
        xlim=(0, 1), ylim=(-_BELOW * top, 1.05 * top), ylabel="Net benefit",
        xlabel="Probability from which on one would act",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=f"{THIN}%"))
    legend_below(figure, axes, 3)
    return figure
