"""Reliability diagrams: what the model claims against what comes true, alone or twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cytolens.report.figures.canvas import dash, legend_below, new_figure
from cytolens.report.palette import BLUE, COLOURS, INK, MARKERS, MUTED
from cytolens.report.text import defined


def draw(bins: Sequence[Mapping[str, Any]], ece: str) -> Figure:
    """Draw accuracy over confidence, the gap to the diagonal shaded, and the images of each bin.

    Args:
        bins: {low, high, confidence, accuracy, n}; empty bins may hold None.
        ece: the expected calibration error as text.
    """
    figure = new_figure(3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    filled = [b for b in bins if b["n"] and defined(b["confidence"]) is not None]
    confidence = [float(b["confidence"]) for b in filled]
    accuracy = [float(b["accuracy"]) for b in filled]
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    above.vlines(confidence, accuracy, confidence, color=COLOURS[1], linewidth=2.2, alpha=0.45)
    above.plot(confidence, accuracy, color=BLUE, linewidth=0.8)
    most = max((int(b["n"]) for b in filled), default=1)
    areas = [8 + 32 * int(b["n"]) / most for b in filled]
    above.scatter(confidence, accuracy, areas, color=BLUE, linewidth=0, zorder=3)
    above.set(ylabel="Share that was right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    above.text(
        0.97, 0.05, f"ECE {ece}", transform=above.transAxes, ha="right", size=7.5, color=INK
    )  # fmt: skip
    lows = [float(b["low"]) for b in bins]
    widths = [0.9 * (float(b["high"]) - float(b["low"])) for b in bins]
    counts = [int(b["n"]) for b in bins]
    below.bar(lows, counts, widths, align="edge", color=BLUE, alpha=0.75)
    below.set(xlabel="Confidence", ylabel="Images")
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    below.grid(axis="x", visible=False)
    return figure


def compare(content: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Figure:
    """Draw two reliability diagrams into one, and the images of each bin below.

    Args:
        content: (name, bins as in `draw`) of each, the one that matters last.
    """
    figure = new_figure(4.15)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    for index, (name, bins) in enumerate(content):
        colour = COLOURS[(len(content) - 1 - index) % len(COLOURS)]
        filled = [b for b in bins if b["n"] and defined(b["confidence"]) is not None]
        x = [float(b["confidence"]) for b in filled]
        y = [float(b["accuracy"]) for b in filled]
        most = max((int(b["n"]) for b in filled), default=1)
        line = dash(len(content) - 1 - index)
        marker = MARKERS[(len(content) - 1 - index) % len(MARKERS)]
        above.plot(x, y, color=colour, linewidth=0.9, linestyle=line, marker=marker,
                   markersize=2.4, label=name)  # fmt: skip
        areas = [4 + 30 * int(b["n"]) / most for b in filled]
        above.scatter(x, y, areas, color=colour, marker=marker, linewidth=0, zorder=3)
        edges = [float(b["low"]) for b in bins] + [float(b["high"]) for b in bins[-1:]]
        counts = [int(b["n"]) for b in bins]
        below.stairs(counts, edges, color=colour, linewidth=1.1, linestyle=line)
    above.set(ylabel="Share that was right", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    below.set(xlabel="Confidence", ylabel="Images")
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    below.grid(axis="x", visible=False)
    legend_below(figure, above, len(content))
    return figure
