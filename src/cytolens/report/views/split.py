"""The split: how many images and groups train and test, and whether it leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import UNDEFINED, thousands

PARTS = ("train", "validation", "test")
_KINDS = {
    "holdout": "one part held out",
    "kfold": "k-fold",
    "lodo": "leave one data set out, each fold named by the one it tests",
    "attribute": "by a column of the manifest",
    "file": "from a file",
}


@dataclass(frozen=True)
class Fold:
    """One fold: images and groups of each part as text, and the groups that stand on both sides."""

    name: str
    images: list[str]
    groups: list[str]
    shared: str
    leaks: bool


@dataclass(frozen=True)
class Split:
    """What the split keeps together, a row a fold, and the leaks that were recorded."""

    kind: str
    unit: str
    folds: list[Fold]
    leaks: list[str]
    grouped: bool


def split(run: RunFolder) -> Split | None:
    """Return what `split.json` says; None without it."""
    if run.split is None:
        return None
    folds = run.split.get("folds") or []
    groups = {name: run.index.value(name, "group") for fold in folds for name in _everyone(fold)}
    grouped = any(group is not None for group in groups.values())
    repeats = len({fold.get("repeat", 0) for fold in folds}) > 1
    kind = str(run.split.get("kind", ""))
    return Split(
        kind=_KINDS.get(kind, kind),
        unit=str(run.split.get("unit", "")),
        folds=[_fold(fold, groups, _name(run, fold, kind, repeats), grouped) for fold in folds],
        leaks=[str(reason) for reason in run.split.get("leaks") or []],
        grouped=grouped,
    )


def _everyone(fold: Mapping[str, Any]) -> list[str]:
    return [name for part in PARTS for name in fold.get(part) or []]


def _fold(
    fold: Mapping[str, Any], groups: Mapping[str, str | None], name: str, grouped: bool
) -> Fold:
    parts = [fold.get(part) or [] for part in PARTS]
    sets = [_groups(ids, groups) for ids in parts]
    shared = len((sets[0] | sets[1]) & sets[2])
    return Fold(
        name=name,
        images=[thousands(len(ids)) for ids in parts],
        groups=[thousands(len(found)) if grouped else UNDEFINED for found in sets],
        shared=thousands(shared) if grouped else UNDEFINED,
        leaks=shared > 0,
    )


def _name(run: RunFolder, fold: Mapping[str, Any], kind: str, repeats: bool) -> str:
    name = f"{fold.get('repeat', 0)}.{fold['fold']}" if repeats else str(fold["fold"])
    tested = {run.index.value(image, "dataset") for image in fold.get("test") or []}
    only = tested.pop() if kind == "lodo" and len(tested) == 1 else None
    return f"{name}: {only}" if only else name


def _groups(ids: Sequence[str], groups: Mapping[str, str | None]) -> set[str]:
    return {group for name in ids if (group := groups.get(name)) is not None}
