"""What is kept of a scored slide: a table of tiles, pictures, and a summary."""

from __future__ import annotations

import csv
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from cytolens.bundle.field import Field
from cytolens.bundle.slide import ScoredField, read_tile
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json, writing

SUMMARY = "slide.json"
_LONGEST = 9.0  # inches of the longer side of a figure
_DPI = 120


def write_slide(
    scored: ScoredField,
    large: Field,
    folder: Path,
    *,
    top: int = 12,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `tiles.csv`, `heatmap.png`, `overview.png`, `gallery/` and `slide.json`.

    The folder appears when all of it is written.

    Args:
        top: tiles in the gallery; the summary takes the mean of their scores too.
        about: more for `slide.json`: the file, the bundle, the settings.

    Returns:
        The content of `slide.json`.

    Raises:
        InputError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} exists.", fix="choose another place, or remove it.")
    with writing(folder, "the slide"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        partial.mkdir()
        try:
            chosen = scored.top(top)
            _write_tiles(scored, partial / "tiles.csv")
            _draw_heat(scored, partial / "heatmap.png")
            _draw_overview(scored, chosen, partial / "overview.png")
            files = _write_gallery(scored, large, chosen, partial / "gallery")
            content = {**(about or {}), **summary(scored, chosen, files)}
            write_json(partial / SUMMARY, content)
            partial.replace(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return content


def finished_slide(folder: Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """Return what `write_slide` left in a folder; None where there is none.

    Raises:
        InputError: the folder holds something else, or was made otherwise than `about` says.
    """
    if not folder.exists():
        return None
    content = read_json(folder / SUMMARY, "scored slide")
    wrong = [k for k, v in about.items() if not isinstance(content, dict) or content.get(k) != v]
    if wrong:
        raise InputError(
            f"{folder} was made with another {' and '.join(wrong)}.",
            fix="choose another place, or remove it.",
        )
    found: dict[str, Any] = content
    return found


def summary(scored: ScoredField, chosen: list[int], files: list[str]) -> dict[str, Any]:
    """Return what `slide.json` says of the tiles; `chosen` are those of the gallery."""
    grid, scores = scored.grid, scored.scores
    labels = scored.labels
    good = [i for i in range(len(labels)) if i not in scored.problems]
    share = scored.probabilities[good].mean(axis=0, dtype=np.float64)
    tiles = [
        {
            "file": file,
            "x": grid.corner(i)[0],
            "y": grid.corner(i)[1],
            "label": labels[i],
            "score": _number(scores[i]),
            "probabilities": _named(scored, scored.probabilities[i]),
        }
        for i, file in zip(chosen, files, strict=True)
    ]
    return {
        "size": list(scored.size),
        "tile": {
            "size": list(grid.size),
            "span": [round(s, 3) for s in grid.span],
            "um_per_px": grid.um_per_px,
        },
        "grid": [grid.columns, grid.rows],
        "tissue": _number(scored.tissue.stained.mean()),
        "n": len(good),
        "unreadable": len(scored.problems),
        "score": {
            "what": scored.score_text,
            "abnormal": list(scored.abnormal),
            "mean": _number(scores[good].mean(dtype=np.float64)),
            "top_n": len(chosen),
            "top_mean": _number(scores[chosen].mean(dtype=np.float64)),
        },
        "counts": {c: sum(label == c for label in labels) for c in scored.classes},
        "mean_probabilities": _named(scored, share),
        "decisions": dict(sorted(scored.decisions.items())) or None,
        "unlike_training": scored.unlike,
        "top": tiles,
        "notes": list(scored.notes),
    }


def _named(scored: ScoredField, row: Any) -> dict[str, float]:
    return {c: _number(p) for c, p in zip(scored.classes, row, strict=True)}


def _number(value: Any) -> float:
    return round(float(value), 6)


def _write_tiles(scored: ScoredField, path: Path) -> None:
    """Write a row a tile; x and y in pixels of level 0."""
    grid = scored.grid
    width, height = (round(s) for s in grid.span)
    with path.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target, lineterminator="\n")
        named = [f"p_{c}" for c in scored.classes]
        head = ["x", "y", "width", "height", "column", "row", "label", *named, "score", "problem"]
        table.writerow(head)
        for i, label in enumerate(scored.labels):
            problem = scored.problems.get(i, "")
            row = [*scored.probabilities[i], scored.scores[i]]
            numbers = ["" if problem else f"{value:.6f}" for value in row]
            table.writerow([
                *grid.corner(i), width, height, *grid.chosen[i], label or "", *numbers, problem
            ])  # fmt: skip


def _write_gallery(scored: ScoredField, large: Field, chosen: list[int], folder: Path) -> list[str]:
    """Write the pictures of the chosen tiles, named by rank, class and corner."""
    folder.mkdir()
    files = []
    for rank, i in enumerate(chosen, start=1):
        x, y = scored.grid.corner(i)
        name = f"{rank:02d}_x{x}_y{y}.png"
        Pillow.fromarray(read_tile(large, scored.grid, i)).save(folder / name)
        files.append(f"gallery/{name}")
    return files


def _extent(scored: ScoredField) -> tuple[float, float, float, float]:
    """Return where the grid lies, in pixels of level 0: left, right, bottom, top."""
    grid = scored.grid
    return 0.0, grid.columns * grid.span[0], grid.rows * grid.span[1], 0.0


def _figure(scored: ScoredField) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = scored.size
    scale = _LONGEST / max(width, height)
    figure = Figure((max(3.0, width * scale) + 1.2, max(2.5, height * scale) + 0.6), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel("px")
    axes.set_ylabel("px")
    return figure, axes


def _finish(figure: Any, axes: Any, scored: ScoredField, drawn: Any, path: Path) -> None:
    axes.set_xlim(0, scored.size[0])
    axes.set_ylim(scored.size[1], 0)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.02)
    bar.set_label(scored.score_text, wrap=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})


def _heat_on(axes: Any, scored: ScoredField, opacity: float) -> Any:
    """Draw the scores by viridis, whose steps look equal, from 0 to 1."""
    heat = np.ma.masked_invalid(scored.heat)
    return axes.imshow(
        heat, cmap="viridis", vmin=0, vmax=1, extent=_extent(scored),
        interpolation="nearest", alpha=opacity,
    )  # fmt: skip


def _draw_heat(scored: ScoredField, path: Path) -> None:
    figure, axes = _figure(scored)
    axes.set_facecolor("0.92")
    _finish(figure, axes, scored, _heat_on(axes, scored, 1.0), path)


def _draw_overview(scored: ScoredField, chosen: list[int], path: Path) -> None:
    """Draw the heat over the small picture, and the tiles of the gallery with their ranks."""
    from matplotlib.patches import Rectangle

    figure, axes = _figure(scored)
    axes.imshow(scored.tissue.picture, extent=(0, scored.size[0], scored.size[1], 0))
    drawn = _heat_on(axes, scored, 0.45)
    for rank, i in enumerate(chosen, start=1):
        x, y = scored.grid.corner(i)
        width, height = scored.grid.span
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black"))
        axes.annotate(
            str(rank), (x + width, y), fontsize=7, xytext=(2, 1), textcoords="offset points",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "linewidth": 0},
        )  # fmt: skip
    _finish(figure, axes, scored, drawn, path)
