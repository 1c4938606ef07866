"""The look of all figures, and how one becomes SVG and PNG. Object interface only, no pyplot."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from cytolens.core.files import write_bytes
from cytolens.report.palette import COLOURS, DASHES, INK, MUTED, PAPER, RED, RULE

WIDTH = 3.5  # inches: one column of a journal, and the width of a phone
DPI = 200

_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "path.simplify": True,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 7,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 7,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Draw and save within: the house style, ids that depend on `salt` alone, defaults restored."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # other scripts in class names
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": salt})
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of this size in inches, with a constrained layout."""
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    return Figure((width, height), dpi=DPI, layout=layout)


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def dash(index: int) -> Any:
    return DASHES[(index + index // len(COLOURS)) % len(DASHES)]


def short(name: str, most: int = 20) -> str:
    """Return a class name cut for an axis label."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def unit_square(axes: Axes) -> None:
    """Both axes from 0 to 1 with room for a line along the edge, square."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ticks = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    axes.set(xticks=ticks, yticks=ticks)


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend under the axes, where it can hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, handlelength=2.4,
            columnspacing=1.4, labelspacing=0.35, borderaxespad=0.2,
        )  # fmt: skip


def save(figure: Figure, folder: Path, name: str, *, leaks: bool) -> str:
    """Write `<name>.svg` and `<name>.png` into `folder` and return the SVG text.

    Both are drawn with one layout. `leaks` puts the stamp on the figure itself, which may be
    copied out of its page.
    """
    if leaks:
        figure.suptitle("LEAKS", x=0.99, ha="right", color=RED, weight="bold", size=7)
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine("none")
    # the canvases' own methods, which matplotlib leaves unannotated: `savefig` would draw twice
    png, svg = io.BytesIO(), io.StringIO()
    FigureCanvasAgg(figure).print_png(png, pil_kwargs={"compress_level": 2})  # type: ignore[no-untyped-call]
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(svg, metadata=nothing)  # type: ignore[no-untyped-call]
    text = _tidy(svg.getvalue())
    write_bytes(folder / f"{name}.png", png.getvalue())
    write_bytes(folder / f"{name}.svg", text.encode("utf-8"))
    return text


def _tidy(svg: str) -> str:
    """Drop the comments that matplotlib writes beside each text and path."""
    return re.sub(r"[ \t]*<!--.*?-->\n?", "", svg, flags=re.DOTALL)
