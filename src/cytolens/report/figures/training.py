"""Training curves: loss and accuracy over epochs, a thin line a fold, a thick mean; by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cytolens.report.figures.canvas import legend_below, new_figure
from cytolens.report.palette import BLUE, COLOURS, DASHES, MUTED
from cytolens.report.text import defined

PARTS = ("train", "validation")
MEASURES = ("loss", "accuracy")
_TITLES = {"encoder": "1. Encoder", "classifier": "2. Classifier on the frozen encoder"}
_FOLDS_DRAWN = 12  # thin lines; beyond this they are a smear


@dataclass(frozen=True)
class Training:
    """`values[measure][part]`: float64 [folds, epochs], NaN where a fold said nothing.

    Attributes:
        epochs: the numbers of the epochs, as the history writes them.
        best: the best epoch of each fold that marks one.
    """

    epochs: list[int]
    values: dict[str, dict[str, NDArray[np.float64]]]
    best: list[int]

    def said(self, measure: str) -> bool:
        """Return whether any fold gave a value of this measure."""
        return any(bool(np.isfinite(part).any()) for part in self.values[measure].values())


def training(history: Sequence[Mapping[str, Any]]) -> Training:
    """Arrange the lines of `history.jsonl` by fold and epoch."""
    runs = sorted({_run(line) for line in history})
    epochs = sorted({int(line["epoch"]) for line in history})
    place = {epoch: i for i, epoch in enumerate(epochs)}
    shape = (len(runs), len(epochs))
    values = {m: {p: np.full(shape, np.nan) for p in PARTS} for m in MEASURES}
    best: dict[tuple[int, int], int] = {}
    for line in history:
        row, column = runs.index(_run(line)), place[int(line["epoch"])]
        for measure in MEASURES:
            for part in PARTS:
                value = defined(line.get(f"{part}_{measure}"))
                values[measure][part][row, column] = np.nan if value is None else value
        if line.get("best") is True:
            best[_run(line)] = int(line["epoch"])  # the last one marked: the epoch that was kept
    return Training(epochs, values, list(best.values()))


def _run(line: Mapping[str, Any]) -> tuple[int, int]:
    return int(line.get("repeat", 0)), int(line["fold"])


def stages(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, Training]]:
    """Return (stage, its lines arranged) in the order of the history; one stage "" without names.

    A contrastive run has the stages "encoder" and "classifier".
    """
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for line in history:
        lines.setdefault(str(line.get("stage") or ""), []).append(line)
    return [(name, training(some)) for name, some in lines.items()]


def draw(content: Sequence[tuple[str, Training]]) -> Figure:
    """Draw loss above accuracy, the stages below one another; measures without values are left out.

    Args:
        content: what `stages` returned.
    """
    panels = [(name, stage, m) for name, stage in content for m in MEASURES if stage.said(m)]
    panels = panels or [("", content[0][1], MEASURES[0])]
    figure = new_figure(0.6 + 1.75 * len(panels) + 0.15 * len(content))
    drawn = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for place, (name, stage, measure) in enumerate(panels):
        axes = drawn[place]
        for index, part in enumerate(PARTS):
            _lines(axes, stage.epochs, stage.values[measure][part], index, part)
        _best(axes, stage.best)
        _frame(axes, name, measure)
        if place and panels[place - 1][0] == name:
            axes.sharex(drawn[place - 1])
            drawn[place - 1].tick_params(labelbottom=False)
            drawn[place - 1].set_xlabel("")
        elif name:
            axes.set_title(_TITLES.get(name, name.capitalize()), loc="left", weight="bold")
    most = max(drawn, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    legend_below(figure, most, 3)
    return figure


def _frame(axes: Axes, stage: str, measure: str) -> None:
    axes.set_ylabel("Contrastive loss" if stage == "encoder" else measure.capitalize())
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if measure == "loss":
        axes.set_ylim(bottom=0)
    else:
        axes.set_ylim(top=1.02)


def _lines(
    axes: Axes, epochs: list[int], values: NDArray[np.float64], index: int, part: str
) -> None:
    seen = np.isfinite(values)
    if not seen.any():
        return
    colour = COLOURS[index]
    for fold in values[:_FOLDS_DRAWN] if len(values) > 1 else ():
        axes.plot(epochs, fold, color=colour, linewidth=0.6, alpha=0.38, linestyle=DASHES[index])
    # the mean stands only where every fold still trains: fewer folds would bend it
    together = seen.sum(axis=0) == seen.any(axis=1).sum()
    mean = np.where(together, np.nansum(values, axis=0) / np.maximum(seen.sum(axis=0), 1), np.nan)
    marker = "o" if len(epochs) == 1 else None
    label = part.capitalize()
    axes.plot(
        epochs, mean, color=colour, linewidth=1.8, linestyle=DASHES[index], marker=marker,
        markersize=3, label=label,
    )  # fmt: skip


def _best(axes: Axes, best: list[int]) -> None:
    """Mark the epoch that was kept, of each fold, on the lower edge."""
    if best:
        axes.plot(
            best, [0.0] * len(best), linestyle="none", marker="^", markersize=4.5, color=BLUE,
            markeredgecolor=MUTED, markeredgewidth=0.4, clip_on=False, zorder=5,
            transform=axes.get_xaxis_transform(), label="Epoch kept",
        )  # fmt: skip
