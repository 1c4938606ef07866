"""Pictures beside what each method says of them: rows are images, columns methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from cytolens.report import overlay
from cytolens.report.explanations import Map
from cytolens.report.figures.canvas import DPI, new_figure
from cytolens.report.palette import INK, MUTED, PAPER, RED
from cytolens.report.text import counted, significant

SIDE = DPI  # px of a picture in the file, at most: an inch
_BOX, _GAP = 1.0, 0.07  # inches: a picture, and between columns
_HEAD, _BELOW, _LINE = 0.34, 0.3, 0.1  # inches: titles, under a picture, a line of text there
_BAR = (0.055, 0.035)  # inches: height of a scale bar, and its distance to the picture
_BAND = 0.27  # inches: above the titles, for what must be said of the whole figure
_SMALL = 5.2  # points


@dataclass(frozen=True)
class Column:
    """One column: its title, the method, and how its map is shown.

    `kind` is "original", "map" (alone), "heat" (over the picture), "positive" or "superpixels".
    """

    title: str
    kind: str
    method: str = ""
    signed: bool = False


@dataclass(frozen=True)
class Row:
    """One image: the picture uint8 [H, W, 3], the lines under it, its maps and facts by method."""

    picture: NDArray[np.uint8]
    lines: Sequence[str]
    maps: Mapping[str, Map]
    facts: Mapping[str, str] = field(default_factory=dict)


def draw(
    rows: Sequence[Row], columns: Sequence[Column], warning: str = "", *, leaks: bool = False
) -> Figure:
    """Draw the pictures, each map with its own scale bar, whose numbers are raw magnitudes.

    A solid line holds what speaks most strongly for the target, a dashed one what speaks against
    it, so that a grey print can be read. A map that is zero everywhere is not coloured.

    Args:
        rows: the images, from above.
        columns: from the left.
        warning: written above everything, of methods that were found wanting.
        leaks: stamp the figure. Its titles reach to the edge, where other figures have the stamp.
    """
    lines = max((len(row.lines) for row in rows), default=1)
    lines = max(lines, 3 if any(row.facts for row in rows) else 0)
    down = _BOX + max(_BELOW, lines * _LINE + 0.1)
    head = _HEAD + (_BAND if warning or leaks else 0.0)
    width = len(columns) * (_BOX + _GAP) + _GAP
    height = head + len(rows) * down
    figure = new_figure(height, width)
    figure.set_layout_engine("none")  # a place for each picture is known beforehand
    axes = figure.add_axes((0, 0, 1, 1))  # in inches from the upper left; many axes would be slow
    axes.text(_GAP, 0.05, warning, va="top", size=6.5, weight="bold")
    if leaks:
        axes.text(
            width - _GAP, 0.05, "LEAKS", ha="right", va="top", size=7, weight="bold", color=RED
        )
    for x, column in enumerate(columns):
        left = _GAP + x * (_BOX + _GAP)
        axes.text(
            left + _BOX / 2, head - 0.05, _wrapped(column.title), ha="center", va="bottom",
            size=6.5, linespacing=1.1,
        )  # fmt: skip
        for y, row in enumerate(rows):
            _cell(_Place(axes, left, head + y * down, _box(row.picture)), row, column)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    axes.set_axis_off()
    return figure


@dataclass(frozen=True)
class _Place:
    """Where a picture stands: its upper left corner, and its width and height, in inches."""

    axes: Axes
    left: float
    top: float
    box: tuple[float, float]

    def show(self, picture: NDArray[np.uint8]) -> None:
        self._image(picture, self.top, self.box[1])

    def below(self, line: int, text: str, side: str = "left") -> None:
        self.axes.text(
            self.left + (0 if side == "left" else self.box[0]),
            self.top + self.box[1] + 0.03 + line * _LINE, text, ha=side, va="top", size=_SMALL,
        )  # fmt: skip

    def over(self, text: str) -> None:
        self.axes.text(
            self.left + self.box[0] / 2, self.top + self.box[1] / 2, text, ha="center",
            va="center", size=6.5,
            bbox={"facecolor": PAPER, "edgecolor": MUTED, "linewidth": 0.5, "pad": 2.0},
        )  # fmt: skip

    def line(self, values: NDArray[np.float32], level: float) -> None:
        """Draw where `values` [H, W] cross a level, dashed below 0, dark upon light."""
        if not values.max() > level > values.min():
            return
        height, width = values.shape
        x = self.left + (np.arange(width) + 0.5) / width * self.box[0]
        y = self.top + (np.arange(height) + 0.5) / height * self.box[1]
        dash = "solid" if level > 0 else (0, (2.5, 1.5))
        for colour, thick in ((PAPER, 1.5), (INK, 0.6)):
            self.axes.contour(
                x, y, values, [level], colors=colour, linewidths=thick, linestyles=[dash]
            )

    def scale(self, largest: float, signed: bool) -> None:
        """Draw the scale bar: from 0, or from the negative, to the raw largest magnitude."""
        high, away = _BAR
        top = self.top + self.box[1] + away
        colours = np.rint(255 * overlay.ramp(signed)[None, ::2]).astype(np.uint8)  # [1, 128, 3]
        self._image(colours, top, high)
        frame = Rectangle((self.left, top), self.box[0], high, fill=False, linewidth=0.4)
        self.axes.add_patch(frame)
        self.below(1, significant(-largest) if signed else "0")
        self.below(1, significant(largest), "right")

    def _image(self, picture: NDArray[np.uint8], top: float, height: float) -> None:
        extent = (self.left, self.left + self.box[0], top + height, top)
        self.axes.imshow(picture, extent=extent, interpolation="nearest")


def _cell(place: _Place, row: Row, column: Column) -> None:
    picture = _smaller(row.picture)
    if column.kind == "original":
        place.show(picture)
        for number, line in enumerate(row.lines):
            place.below(number, line)
        return
    found = row.maps.get(column.method)
    if found is None or found.empty:
        place.show(picture)
        place.over("no map" if found is None else "zero everywhere")
        if found is not None:
            place.below(0, "largest magnitude: 0")
        return
    small = overlay.resized(found, SIDE)
    if column.kind in ("positive", "superpixels"):
        positive = column.kind == "positive"
        place.show(overlay.blend(picture, overlay.superpixels(small, positive=positive)))
        _weights(place, found, positive=positive)
    else:
        place.show(_coloured(picture, small, found, column))
        lines = overlay.strongest(small)
        place.line(lines, 1.0)
        if column.signed:
            place.line(lines, -1.0)
        place.scale(found.largest, column.signed)
    if row.facts.get(column.method) and column.kind != "positive":
        place.below(2, row.facts[column.method])


def _coloured(
    picture: NDArray[np.uint8], small: Map, found: Map, column: Column
) -> NDArray[np.uint8]:
    if column.kind == "map":
        return overlay.full(small, signed=column.signed, largest=found.largest)
    return overlay.blend(picture, overlay.heat(small, signed=column.signed, largest=found.largest))


def _weights(place: _Place, found: Map, *, positive: bool) -> None:
    """Say which superpixels are shown, and between which weights."""
    weights = overlay.weights(found)
    shown = overlay.chosen(found, positive=positive)
    if not shown:
        place.below(0, "none speaks for it")
        return
    low, high = weights[shown].min(), weights[shown].max()
    place.below(0, f"{counted(len(shown), 'superpixel')} of {len(weights)}")
    place.below(1, f"weights {significant(low)} to {significant(high)}")


def _box(picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the width and height of a picture in inches."""
    height, width = picture.shape[:2]
    return _BOX * width / max(height, width), _BOX * height / max(height, width)


def _smaller(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def _wrapped(title: str, most: int = 17) -> str:
    """Return a title in two lines where it is long and can be broken."""
    words, lines = title.split(), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most and len(lines) < 2:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
