"""The split file: folds of image ids, written once; the file wins."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json
from cytolens.data.manifest import Manifest

VERSION = 1


@dataclass(frozen=True)
class Fold:
    """One train / validation / test assignment, as image ids."""

    fold: int
    repeat: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def rows(self, part: str, manifest: Manifest) -> NDArray[np.int64]:
        """Return the manifest rows of "train", "validation" or "test", int64."""
        names: tuple[str, ...] = getattr(self, part)
        return np.array([manifest.index[name] for name in names], dtype=np.int64)


@dataclass(frozen=True)
class Split:
    """All folds of an experiment.

    Attributes:
        kind: holdout, kfold, lodo, attribute.
        unit: what is never split: "group", "near-duplicate cluster" or "image".
        leaks: reasons why test data is known to training; empty under the honest protocol.
        notes: what a reader must know (classes left out, and the like).
    """

    kind: str
    unit: str
    seed: int
    protocol: str
    folds: tuple[Fold, ...]
    leaks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, path: Path) -> None:
        write_json(path, self.to_json())


def read_split(path: Path, manifest: Manifest) -> Split:
    """Read a split file and check it against the manifest.

    Raises:
        InputError: unknown ids, an image in two parts of a fold, an image tested twice in a
            repeat, an empty part, or another version.
    """
    content = read_json(path, "split file")
    if isinstance(content, dict) and content.get("version", VERSION) != VERSION:
        raise InputError(f"{path} has version {content['version']}.", expected=f"version {VERSION}")
    split = from_dict(Split, content, str(path))
    check_consistency(split, manifest, str(path))
    return split


def check_consistency(split: Split, manifest: Manifest, where: str) -> None:
    """Refuse unknown ids, images in two parts, images tested twice, empty parts."""
    problems: list[str] = []
    tested: Counter[tuple[int, str]] = Counter()
    for fold in split.folds:
        name = f"repeat {fold.repeat} fold {fold.fold}"
        everything = [*fold.train, *fold.validation, *fold.test]
        unknown = [i for i in everything if i not in manifest.index]
        problems += [f"{name}: {i} is not in the manifest" for i in unknown]
        twice = [i for i, count in Counter(everything).items() if count > 1]
        problems += [f"{name}: {i} stands in two parts" for i in twice]
        problems += [
            f"{name}: no {part} images" for part in ("train", "test") if not getattr(fold, part)
        ]
        tested.update((fold.repeat, i) for i in fold.test)
    problems += [f"repeat {r}: {i} is tested {c} times" for (r, i), c in tested.items() if c > 1]
    if problems or not split.folds:
        raise InputError(
            f"The split of {where} cannot be used.",
            rows=problems or ["it has no folds"],
            expected="ids of the manifest, each in one part of a fold, tested once a repeat",
            fix="write a new one with `cytolens split`.",
        )
