"""Read a run folder for its report: what must be there, and what may be missing."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.report.embedding import Embedding, read_embedding
from cytolens.report.explanations import Explanations, read_explanations
from cytolens.report.text import percent


@dataclass(frozen=True)
class Scored:
    """The pooled test predictions, row i of every field the same image and repeat.

    Attributes:
        ids: image ids [n].
        labels: int64 [n], index into the classes; -1 where the label is none of them.
        probabilities: float64 [n, k].
        folds, repeats: int64 [n].
    """

    ids: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]
    repeats: NDArray[np.int64]


@dataclass(frozen=True)
class RunFolder:
    """The content of a run. `metrics` is always there; the rest is None or empty where missing.

    Attributes:
        folds: facts about the learning of each fold.
        embedding: of the first fold of a contrastive run.
        bundle: whether a bundle lies in the folder.
        doubt: of `doubt.json`: what was fitted on the predictions, and what came of it.
        profile: of `profile.json`: where the time went, where that was asked for.
    """

    path: Path
    metrics: dict[str, Any]
    recipe_text: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    audit: dict[str, Any] | None
    split: dict[str, Any] | None
    history: list[dict[str, Any]]
    rows: list[dict[str, str]]
    scored: Scored | None
    folds: list[dict[str, Any]] = field(default_factory=list)
    embedding: Embedding | None = None
    bundle: bool = False
    doubt: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None

    @property
    def classes(self) -> list[str]:
        return [str(name) for name in self.metrics["classes"]]

    @property
    def leaks(self) -> list[str]:
        return [str(reason) for reason in self.metrics.get("leaks") or []]

    @property
    def published(self) -> bool:
        return self.metrics.get("protocol") == "published"

    @property
    def stamped(self) -> bool:
        """Whether every number of this run carries the stamp "leaks"."""
        return bool(self.leaks) or self.published

    @cached_property
    def index(self) -> ImageIndex:
        return ImageIndex(self.path, self.rows)

    @cached_property
    def explanations(self) -> Explanations | None:
        """Of images of the first fold, None without them; a damaged folder is told when asked."""
        return read_explanations(self.path)


class ImageIndex:
    """Finds an image's row by its id, which may be written relative to another folder."""

    def __init__(self, folder: Path, rows: Sequence[dict[str, str]]) -> None:
        self._folder = folder
        self._exact: dict[str, dict[str, str]] = {}
        self._endings: dict[str, dict[str, str] | None] = {}
        for row in rows:
            for name in {row.get("id") or row["image"], row["image"]}:
                self._exact[name] = row
            parts = row["image"].split("/")
            for start in range(1, len(parts)):
                ending = "/".join(parts[start:])
                self._endings[ending] = None if ending in self._endings else row

    def row(self, name: str) -> dict[str, str] | None:
        """Return the row of an id: as it is written, else the only one whose path ends like it."""
        if name in self._exact:
            return self._exact[name]
        parts = name.split("/")
        for start in range(len(parts)):
            ending = "/".join(parts[start:])
            if ending in self._endings:
                return self._endings[ending]
        return None

    def file(self, name: str) -> Path | None:
        """Return the image file of an id, existing or not; None for an id that nobody knows."""
        row = self.row(name)
        return None if row is None else self._folder / row["image"]

    def origin(self, name: str) -> str:
        """Return the path of the image that an augmented copy came from, or of the image itself."""
        row = self.row(name)
        if row is None:
            return name
        parent = row.get("parent")
        source = self.row(parent) if parent else row
        return source["image"] if source else str(parent)

    def value(self, name: str, column: str) -> str | None:
        row = self.row(name)
        return None if row is None else (row.get(column) or None)


def level_text(run: RunFolder) -> str:
    """Return "95 % interval" at the level of the run's intervals."""
    level = (run.metrics.get("interval") or {}).get("level", 0.95)
    return f"{percent(level, 0)} interval"


def read_run(path: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        InputError: no metrics, or a file that is there but damaged.
    """
    metrics = read_json(path / "metrics.json", "metrics of a run")
    if missing := [key for key in ("classes", "n", "accuracy") if key not in metrics]:
        raise InputError(
            f"{path / 'metrics.json'} is not the metrics of a run.",
            rows=[f"missing: {key}" for key in missing],
        )
    recipe_text = _text(path / "recipe.toml")
    classes = [str(name) for name in metrics["classes"]]
    return RunFolder(
        path=path,
        metrics=metrics,
        recipe_text=recipe_text,
        recipe=_recipe(recipe_text, path),
        environment=_optional(path / "environment.json", "environment of a run") or {},
        audit=_optional(path / "audit.json", "audit"),
        split=_optional(path / "split.json", "split"),
        history=_history(path / "history.jsonl"),
        rows=_manifest(path / "manifest.csv"),
        scored=_predictions(path / "predictions.parquet", classes),
        folds=_folds(path / "folds.json"),
        embedding=read_embedding(path, classes),
        bundle=(path / "bundle" / "bundle.json").is_file(),
        doubt=_doubt(path / "doubt.json"),
        profile=_profile(path / "profile.json"),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _optional(path: Path, purpose: str) -> dict[str, Any] | None:
    return dict(read_json(path, purpose)) if path.is_file() else None


def _recipe(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path / 'recipe.toml'} is not TOML: {error}.") from error


def _history(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in _text(path).splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not a history: {error}.", expected="JSON a line") from error


def _folds(path: Path) -> list[dict[str, Any]]:
    content = read_json(path, "facts of the folds") if path.is_file() else []
    if not isinstance(content, list) or not all(isinstance(fold, dict) for fold in content):
        raise InputError(f"{path} is not the facts of the folds.", expected="a list of objects")
    return content


def _doubt(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content = read_json(path, "doubt of a run")
    wanted = ("calibration", "reliability", "conformal", "risk", "decision", "decision_curve")
    known = content if isinstance(content, dict) else {}
    if missing := [key for key in wanted if key not in known]:
        raise InputError(
            f"{path} is not what a run says of its doubt.",
            rows=[f"missing: {key}" for key in missing],
        )
    return known


def _profile(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    content = read_json(path, "profile of a run")
    known = content if isinstance(content, dict) else {}
    if missing := [k for k in ("seconds", "stages", "inside", "elsewhere") if k not in known]:
        raise InputError(
            f"{path} is not the profile of a run.", rows=[f"missing: {key}" for key in missing]
        )
    return known


def _manifest(path: Path) -> list[dict[str, str]]:
    """Return the rows as written. Images may be gone by now: the report does without them."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", newline="") as source:
        return [row for row in csv.DictReader(source) if row.get("image")]


def _predictions(path: Path, classes: list[str]) -> Scored | None:
    if not path.is_file():
        return None
    import pyarrow
    import pyarrow.parquet

    wanted = ["id", "label", "fold", "repeat", *(f"p_{name}" for name in classes)]
    try:
        table = pyarrow.parquet.read_table(path, use_threads=False)
        columns = {name: table.column(name).to_pylist() for name in wanted}
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise InputError(f"{path} is not the predictions of this run: {error}.") from error
    numbers = {name: i for i, name in enumerate(classes)}
    labels = [v if isinstance(v, int) else numbers.get(v, -1) for v in columns["label"]]
    probabilities = np.array([columns[f"p_{name}"] for name in classes], np.float64)  # [k, n]
    return Scored(
        ids=[str(name) for name in columns["id"]],
        labels=np.array(labels, np.int64),
        probabilities=probabilities.T,
        folds=np.array(columns["fold"], np.int64),
        repeats=np.array(columns["repeat"], np.int64),
    )
