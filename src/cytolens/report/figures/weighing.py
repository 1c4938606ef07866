"""Accuracy over what a model costs: parameters, operations, size, milliseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from cytolens.report.figures.canvas import new_figure, short
from cytolens.report.palette import BLUE, MUTED, ON_BLUE
from cytolens.report.study.weighing import AXES, Weighed
from cytolens.report.text import bounds

_WIDTH = 6.2  # inches
_ACROSS = 2  # names beside one another


def draw(rows: Sequence[Weighed]) -> Figure:
    """Draw a panel a cost, on a logarithmic axis; the models are numbered, and named below."""
    shown = [row for row in rows if bounds(row.accuracy)[0] is not None]
    panels = [axis for axis in AXES if any(row.values[axis[0]] for row in shown)]
    legend = -(-len(shown) // _ACROSS)
    down = -(-len(panels) // 2)
    figure = new_figure(2.1 * down + 0.2 + 0.17 * legend, _WIDTH)
    places = figure.subplots(down, 2, squeeze=False, sharey=True)
    for place, axes in enumerate(places.flat):
        if place < len(panels):
            key, label, _ = panels[place]
            _panel(axes, shown, key)
            axes.set_xlabel(label)
            if place % 2 == 0:
                axes.set_ylabel("Accuracy, %")
        else:
            axes.set_axis_off()
    handles = [places.flat[0].plot([], [], linestyle="none")[0] for _ in shown]
    figure.legend(
        handles, [f"{row.number}  {short(row.label, 44)}" for row in shown],
        loc="outside lower center", ncols=_ACROSS, handlelength=0, handletextpad=0,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, rows: Sequence[Weighed], key: str) -> None:
    axes.set_xscale("log")
    found = [row.values[key] for row in rows]
    for row in rows:
        x = row.values[key]
        value, low, high = bounds(row.accuracy)
        if not x or value is None:
            continue
        if low is not None and high is not None:
            axes.vlines(x, 100 * low, 100 * high, color=MUTED, linewidth=0.8)
        axes.plot(x, 100 * value, linestyle="none", marker="o", markersize=9, color=BLUE)
        axes.annotate(
            str(row.number), (x, 100 * value), ha="center", va="center_baseline", size=6,
            color=ON_BLUE, weight="bold",
        )  # fmt: skip
    known = [x for x in found if x]
    room = max(1.6, 2.5 * min(known) / max(known))  # a lone model still shows a scale
    left, right = min(known) / room, max(known) * room
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(left, right)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _ticks(left: float, right: float) -> list[float]:
    """Return 1, 2, 5, 10 … within the limits; over two decades, powers of ten alone."""
    steps = (1, 2, 5) if right / left < 100 else (1,)
    decades = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    return [s * 10.0**d for d in decades for s in steps if left <= s * 10.0**d <= right]
