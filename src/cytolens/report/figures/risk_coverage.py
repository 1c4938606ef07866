"""Risk over coverage: how often the surest answers are wrong, the more of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cytolens.report.figures.canvas import legend_below, new_figure
from cytolens.report.palette import BLUE, COLOURS, MUTED
from cytolens.report.text import THIN

_HEADROOM = 1.25


@dataclass(frozen=True)
class Point:
    """The share of images that are answered, and the share of wrong answers among them."""

    coverage: float
    risk: float
    low: float | None
    high: float | None


def draw(curve: Sequence[Point], chosen: Sequence[Point], wanted: Sequence[float]) -> Figure:
    """Draw the curve with its intervals, and the points that were chosen for wanted risks.

    Args:
        curve: by coverage.
        chosen: one a wanted risk that allows any answers, as it turned out.
        wanted: risks, drawn as lines across.
    """
    figure = new_figure(3.3)
    axes = figure.add_subplot()
    for risk in wanted:
        axes.axhline(risk, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    banded = [p for p in curve if p.low is not None and p.high is not None]
    axes.fill_between(
        [p.coverage for p in banded], [p.low or 0.0 for p in banded],
        [p.high or 0.0 for p in banded], color=BLUE, alpha=0.16, linewidth=0,
    )  # fmt: skip
    axes.plot(
        [p.coverage for p in curve], [p.risk for p in curve], color=BLUE, label="Wrong answers"
    )
    if chosen:
        axes.plot(
            [p.coverage for p in chosen], [p.risk for p in chosen], linestyle="none", marker="s",
            markersize=4.5, color=COLOURS[1], label="Chosen for a wanted share", zorder=3,
        )  # fmt: skip
    top = max([p.risk for p in (*curve, *chosen)] + list(wanted), default=0.1) * _HEADROOM
    axes.set(
        xlim=(-0.02, 1.02), ylim=(0, min(1.02, max(top, 0.02))),
        xlabel="Share of images that the machine answers", ylabel="Wrong among these",
    )  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=f"{THIN}%"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=f"{THIN}%"))
    legend_below(figure, axes, 2)
    return figure
