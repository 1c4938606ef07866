"""Read a study folder: `study.json` and the run folders beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.report.run_folder import RunFolder, read_run
from cytolens.report.study.words import share
from cytolens.report.text import Score, bounds

HONEST, PUBLISHED = "honest", "published"


@dataclass(frozen=True)
class Cell:
    """One experiment under one protocol.

    Attributes:
        stands_in_for: the paper's model that this one replaces, or "".
        run: its run folder; None when it was not run or its folder is gone.
        link: of its own report, relative to the study's page; "" without one.
        why_not: why it was not run, or "".
        metrics: content of the run's `metrics.json`; empty when it was not run.
        paper_accuracy: what the paper gives for it, 0 … 1.
    """

    name: str
    model: str
    regime: str
    backbone: str
    weights: str
    stands_in_for: str
    protocol: str
    run: RunFolder | None
    link: str
    why_not: str
    metrics: dict[str, Any]
    paper_accuracy: float | None
    seconds: float | None

    @property
    def leaks(self) -> bool:
        """Whether every number of this cell carries the stamp."""
        return self.protocol == PUBLISHED or bool(self.metrics.get("leaks"))

    @property
    def accuracy(self) -> Score:
        return self.metrics.get("accuracy")

    @property
    def measured(self) -> bool:
        return bounds(self.accuracy)[0] is not None


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's own table; `other` are columns that only this paper has."""

    model: str
    regime: str
    accuracy: float | None
    per_class: dict[str, dict[str, Any]]
    other: dict[str, Any]


@dataclass(frozen=True)
class Study:
    """The content of `study.json`; what is missing there is empty.

    Attributes:
        tables: further tables of the paper as printed: {title, columns, rows}.
        notes: what could not be read from the folder, in sentences.
    """

    path: Path
    paper: dict[str, Any]
    published: list[PaperRow]
    tables: list[dict[str, Any]]
    data: dict[str, Any]
    substitutions: list[str]
    cells: list[Cell]
    gaps: list[dict[str, Any]]
    comparisons: dict[str, dict[str, Any]]
    complexity: list[dict[str, Any]]
    ledger: dict[str, Any] | None
    features: dict[str, Any]
    seconds: float | None
    command: str
    version: str
    notes: list[str]


def read_study(folder: Path) -> Study:
    """Read a study folder.

    Raises:
        InputError: no `study.json`, one that is not of a study, or a damaged run folder.
    """
    content = read_json(folder / "study.json", "description of a study")
    if not isinstance(content, dict) or not isinstance(content.get("paper"), dict):
        raise InputError(
            f"{folder / 'study.json'} is not of a study.", expected="paper, published, cells, …"
        )
    notes: list[str] = []
    cells = [_cell(folder, row, notes) for row in content.get("cells") or []]
    if not cells:
        raise InputError(
            f"{folder / 'study.json'} has no cells.", expected="at least one model and regime"
        )
    return Study(
        path=folder,
        paper=content["paper"],
        published=[_paper_row(row) for row in (content.get("published") or {}).get("rows") or []],
        tables=list((content.get("published") or {}).get("tables") or []),
        data=content.get("data") or {},
        substitutions=[str(text) for text in content.get("substitutions") or []],
        cells=cells,
        gaps=list(content.get("gaps") or []),
        comparisons={k: v for k, v in (content.get("comparisons") or {}).items() if v},
        complexity=list(content.get("complexity") or []),
        ledger=content.get("ledger") or None,
        features=content.get("features") or {},
        seconds=content.get("seconds"),
        command=_command(content.get("command")),
        version=str(content.get("cytolens") or ""),
        notes=notes,
    )


def _command(given: object) -> str:
    return " ".join(map(str, given)) if isinstance(given, list) else str(given or "")


def _paper_row(row: Mapping[str, Any]) -> PaperRow:
    return PaperRow(
        model=str(row.get("model") or ""),
        regime=str(row.get("regime") or ""),
        accuracy=share(row.get("accuracy")),
        per_class=dict(row.get("per_class") or {}),
        other={str(k): v for k, v in (row.get("other") or {}).items() if v is not None},
    )


def _cell(folder: Path, row: Mapping[str, Any], notes: list[str]) -> Cell:
    run = _run(folder, row.get("run"), notes)
    metrics = {**(run.metrics if run else {}), **(row.get("metrics") or {})}
    link = ""
    if row.get("run") and (folder / str(row["run"]) / "report.html").is_file():
        link = f"{row['run']}/report.html"
    return Cell(
        name=str(row.get("name") or ""),
        model=str(row.get("model") or row.get("name") or ""),
        regime=str(row.get("regime") or ""),
        backbone=str(row.get("backbone") or ""),
        weights=str(row.get("weights") or ""),
        stands_in_for=str(row.get("stands_in_for") or ""),
        protocol=str(row.get("protocol") or HONEST),
        run=run,
        link=link,
        why_not=" ".join(str(row.get("why_not") or "").split()),
        metrics=metrics,
        paper_accuracy=share(row.get("paper_accuracy")),
        seconds=row.get("seconds"),
    )


def _run(folder: Path, place: object, notes: list[str]) -> RunFolder | None:
    if not place:
        return None
    path = folder / str(place)
    if not (path / "metrics.json").is_file():
        notes.append(f"The run folder {place} is not there any more: its figures are left out.")
        return None
    return read_run(path)
