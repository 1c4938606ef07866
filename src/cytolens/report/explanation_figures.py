"""The figures of explanations: which there are, and their files in `explanations/figures/`.

Methods that were found wanting have figures of their own, which say so, so that no column of a
figure has to be disbelieved.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from cytolens.core.files import write_text
from cytolens.report.explanations import FLOOR, Case, Explainer, Explanations
from cytolens.report.palette import PAPER
from cytolens.report.run_figures import Drawn, Plan, drawn
from cytolens.report.run_folder import RunFolder
from cytolens.report.text import bounds, number, significant
from cytolens.report.thumbnails import data_uri
from cytolens.report.views.judgement import level_words, place

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cytolens.report.figures.explanation_grid import Column

NAMES = {"correct": "correct", "wrong": "wrong", "class": "one_a_class", "asked": "asked"}
RANKING = "explanation_ranking"
_WARNING = "Not shown as insight:\nthese methods did not pass the tests"
_QUALITY = 88  # of the pictures in an SVG
_ROWS, _COLUMNS = 8, 7  # of a figure at most: what can be read on a page


@dataclass(frozen=True)
class Grid:
    """A figure to be drawn: its name, its rows, its methods, and whether these passed the tests."""

    name: str
    cases: Sequence[Case]
    methods: Sequence[Explainer]
    trusted: bool


def grids(found: Explanations) -> Iterator[Grid]:
    """Yield the figures of pictures, a part after the other."""
    for trusted in (True, False):
        methods = [m for m in found.methods if found.trusted(m.name) is trusted and m.name != FLOOR]
        columns = list(_packed(found, methods))
        for part, name in NAMES.items():
            cases = [case for case in found.cases if case.part == part]
            rows = [cases[i : i + _ROWS] for i in range(0, len(cases), _ROWS)]
            for index, (some, across) in enumerate((r, c) for r in rows for c in columns):
                full = (
                    f"{'' if trusted else 'not_insight_'}{name}{f'_{index + 1}' if index else ''}"
                )
                yield Grid(full, some, across, trusted)


def explanation_figures(run: RunFolder, *, reuse: bool = False) -> dict[str, Drawn]:
    """Draw the figures of the explanations, and return those that stand in the page by name.

    The figures of pictures are files alone: the page shows the pictures themselves. Such files of
    an earlier report which show nothing that is still there are removed.

    Args:
        run: the run.
        reuse: keep what lies there already, as an earlier report of this run wrote it.

    Raises:
        InputError: a map or a picture is damaged.
    """
    found = run.explanations
    if found is None:
        return {}
    target = found.folder / "figures"
    planned = list(grids(found))
    for grid in planned:
        if reuse and (target / f"{grid.name}.svg").is_file():
            continue
        from cytolens.report.figures import canvas

        with canvas.style(grid.name):
            svg = canvas.save(_draw(found, grid, run.stamped), target, grid.name, leaks=False)
        write_text(target / f"{grid.name}.svg", _lighter(svg))
    _forget(target, {grid.name for grid in planned})
    plan = _ranking(found)
    if plan is None:
        return {}
    return {RANKING: drawn(plan, found.folder, run.stamped, reuse=reuse)}


def _packed(found: Explanations, methods: Sequence[Explainer]) -> Iterator[Sequence[Explainer]]:
    """Yield the methods of each figure; superpixels need two columns, the picture needs one."""
    some: list[Explainer] = []
    for method in methods:
        if 1 + sum(_width(found, m) for m in (*some, method)) > _COLUMNS:
            yield some
            some = []
        some.append(method)
    if some:
        yield some


def _width(found: Explanations, method: Explainer) -> int:
    return 2 if by_superpixels(found, method) else 1


def by_superpixels(found: Explanations, method: Explainer) -> bool:
    """Return whether a method explains by superpixels."""
    said = (case.found.get(method.name) for case in found.cases)
    return any(found.maps[one.key].segments is not None for one in said if one is not None)


def _draw(found: Explanations, grid: Grid, leaks: bool) -> Figure:
    from cytolens.report.figures import explanation_grid

    rows = [
        explanation_grid.Row(
            found.picture(case),
            _lines(case),
            {name: found.maps[said.key] for name, said in case.found.items()},
            {name: found.words(said) for name, said in case.found.items()},
        )
        for case in grid.cases
    ]
    warning = "" if grid.trusted else _WARNING
    return explanation_grid.draw(rows, _columns(found, grid), warning, leaks=leaks)


def _columns(found: Explanations, grid: Grid) -> list[Column]:
    from cytolens.report.figures.explanation_grid import Column

    columns = [Column("Original", "original")]
    for method in grid.methods:
        if by_superpixels(found, method):
            columns += [
                Column(f"{method.title}: what speaks for it", "positive", method.name),
                Column(f"{method.title}: green for, red against", "superpixels", method.name),
            ]
            continue
        if len(grid.methods) == 1:
            columns.append(Column(f"{method.title} alone", "map", method.name, method.signed))
        columns.append(Column(method.title, "heat", method.name, method.signed))
    return columns


def _lines(case: Case) -> list[str]:
    """Return what stands under a picture."""
    from cytolens.report.figures.canvas import short

    lines = [
        f"Predicted: {case.predicted}",
        f"Probability: {number(case.probability, 2)}",
    ]
    if case.label is not None:
        lines.insert(0, f"True: {case.label}")
    if case.target != case.predicted:
        lines.append(f"Explained: {case.target}")
    return [short(line, 26) for line in lines]


def _lighter(svg: str) -> str:
    """Return the SVG with its pictures as JPEG: a sixth of the size."""

    def again(found: re.Match[str]) -> str:
        with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
            paper = Image.new("RGBA", image.size, PAPER)
            paper.alpha_composite(image.convert("RGBA"))
        content = io.BytesIO()
        paper.convert("RGB").save(content, "JPEG", quality=_QUALITY, subsampling=0)
        return data_uri(content.getvalue(), "image/jpeg")

    return re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", again, svg)


def _forget(folder: Path, names: set[str]) -> None:
    """Remove figures of pictures that an earlier report drew and this one did not."""
    for part in NAMES.values():
        for start in ("", "not_insight_"):
            for file in folder.glob(f"{start}{part}*"):
                rest = file.stem.removeprefix(f"{start}{part}").removeprefix("_")
                ours = file.suffix in (".svg", ".png") and (rest.isdigit() or not rest)
                if ours and file.stem not in names:
                    file.unlink()


def _ranking(found: Explanations) -> Plan | None:
    judgement = found.judgement
    if not judgement or not judgement["ranking"]:
        return None
    from cytolens.report.figures import ranking

    titles = {entry["name"]: str(entry["title"]) for entry in judgement["methods"]}
    rows = [
        ranking.Ranked(
            titles.get(entry["name"], str(entry["name"])),
            float(entry["rank"]),
            *bounds({**entry, "value": entry["rank"]})[1:],
            found.trusted(entry["name"]),
        )
        for entry in sorted(judgement["ranking"], key=place)
    ]
    said = "; ".join(
        f"{row.title} {significant(row.rank)} ({significant(row.low)} to {significant(row.high)})"
        for row in rows
    )
    by = str(judgement.get("ranking_by") or "").replace(" - ", " minus ")
    caption = f"Ranking of the methods{f' by {by}' if by else ''}, with {level_words(judgement)}s."
    if not all(row.trusted for row in rows):
        caption += " Hollow and dashed: not shown as insight."
    return Plan(RANKING, caption, f"Dots with whiskers: {said}.", lambda: ranking.draw(rows))
