"""The manifest: a table of images with their labels, groups, masks and origin."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import write_text

COLUMNS = ("image", "label", "group", "dataset", "mask", "magnification", "um_per_px", "parent")


@dataclass(frozen=True)
class Row:
    """One image. `id` is its path as the manifest writes it (POSIX); `image` is the file itself."""

    id: str
    image: Path
    label: str
    group: str | None = None
    dataset: str | None = None
    mask: Path | None = None
    magnification: str | None = None
    um_per_px: float | None = None
    parent: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def attribute(self, name: str) -> str | None:
        """Return the value of a column, one of the named ones or an extra one, as text."""
        if name in COLUMNS:
            value = getattr(self, name)
            return None if value is None else str(value)
        return self.extra.get(name)


@dataclass(frozen=True)
class Manifest:
    """An immutable table of images. Row order is the order of every array derived from it."""

    rows: tuple[Row, ...]
    name: str
    class_order: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names: the given order, else sorted."""
        return self.class_order or tuple(sorted({row.label for row in self.rows}))

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.rows)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row number of each id."""
        return {row.id: i for i, row in enumerate(self.rows)}

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Index into `classes` of each row, int64 [n]."""
        numbers = {name: i for i, name in enumerate(self.classes)}
        return np.array([numbers[row.label] for row in self.rows], dtype=np.int64)

    @cached_property
    def has_groups(self) -> bool:
        return bool(self.rows) and all(row.group is not None for row in self.rows)

    def counts(self) -> dict[str, int]:
        """Number of images of each class, in class order."""
        found = Counter(row.label for row in self.rows)
        return {name: found[name] for name in self.classes}

    def select(self, keep: Iterable[int]) -> Manifest:
        """Return the rows at these positions, with the same classes."""
        return replace(self, rows=tuple(self.rows[int(i)] for i in keep), class_order=self.classes)

    def with_rows(self, rows: Sequence[Row]) -> Manifest:
        return replace(self, rows=tuple(rows), class_order=self.classes)

    def relabelled(self, mapping: Mapping[str, str], classes: Sequence[str] = ()) -> Manifest:
        """Harmonise labels by a mapping table; rows whose label maps to "" are left out.

        Raises:
            InputError: a label has no entry in the mapping. Entries
                that name no label are fine: one mapping may serve several sets.
        """
        present = {row.label for row in self.rows}
        if missing := sorted(present - set(mapping)):
            raise InputError(
                "The label mapping has no entry for some labels.",
                rows=missing,
                expected="an entry for each label ('' leaves its images out)",
                fix="add them under [data.label_map].",
            )
        rows = tuple(
            replace(row, label=mapping[row.label]) for row in self.rows if mapping[row.label]
        )
        return Manifest(rows, self.name, tuple(classes) or None)

    def write(self, path: Path, *, with_ids: bool = False) -> None:
        """Write as CSV; paths are relative to the file where that is possible.

        Args:
            with_ids: add the column `id`; a run's split and predictions speak of images by it.
        """
        extras = sorted({key for row in self.rows for key in row.extra})
        used = [c for c in COLUMNS if c in COLUMNS[:2] or any(r.attribute(c) for r in self.rows)]
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*(["id"] if with_ids else []), *used, *extras])
        base = path.resolve().parent
        for row in self.rows:
            cells = {c: row.attribute(c) or "" for c in used}
            cells["image"] = _relative(row.image, base)
            if row.parent in self.index:  # ids are paths, and those have just been rewritten
                cells["parent"] = _relative(self.rows[self.index[row.parent]].image, base)
            if row.mask is not None:
                cells["mask"] = _relative(row.mask, base)
            values = [*(cells[c] for c in used), *(row.extra.get(e, "") for e in extras)]
            table.writerow([*([row.id] if with_ids else []), *values])
        write_text(path, text.getvalue())


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path.resolve(), base)).as_posix()
