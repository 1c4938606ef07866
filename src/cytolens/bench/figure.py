"""The figure of a benchmark: how many times better ours is, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(content: dict[str, Any], path: Path) -> None:
    """Draw the ratios with their ranges over repeats, and the marks, as SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    lines = [line for suite in content["suites"] for line in suite["lines"] if line["ratio"]]
    figure = Figure(figsize=(8, 0.8 + 0.28 * max(1, len(lines))), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for row, line in enumerate(lines):
        ratio = line["ratio"]
        axes.plot([ratio["low"], ratio["high"]], [row, row], color="#5b7a99", linewidth=2)
        axes.plot(ratio["median"], row, "o", color="#1d4e79", markersize=5)
        if line["mark"] is not None:
            axes.plot(line["mark"], row, "|", color="#b3541e", markersize=12, markeredgewidth=2)
    axes.set_yticks(range(len(lines)), [f"{x['what']} · {x['other']}" for x in lines], fontsize=7)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="#999999", linewidth=0.8)
    axes.set_xlabel("times better (dot: median, line: repeats, bar: mark)")
    figure.savefig(path, format="svg", metadata={"Date": None})
