"""What the catalog knows of a public set, and how a reader tells what it found on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.data.manifest import Manifest, Row


@dataclass(frozen=True)
class Variant:
    """One way to label or choose the images of a set.

    Attributes:
        name: what the user types.
        what: what it is, in words.
        counts: published images a class, in class order; empty where nothing is published.
        merge: {class of the reader: class of this variant}; empty keeps the reader's classes.
    """

    name: str
    what: str
    counts: Mapping[str, int]
    merge: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.counts)


@dataclass(frozen=True)
class Reading:
    """Rows found in a tree, and the images left out as "path: why"."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """One public set: its facts in words, and a reader of its published tree.

    Attributes:
        tree: the published tree in words, for errors and documents.
        group: the unit that must not be split, in words, and how it is derived.
        obtain: how to get the set by hand.
        reader: (source, variant name) → what stands there; no rows where nothing is recognised.
        variants: the first one is the default.
        guess: (source) → variant name, where the tree itself tells which one it is.
        mask_of: label mask of a row, uint8 [H, W] (0 background, 1 cytoplasm, 2 nucleus,
            3 unknown), or None; for sets whose masks must be converted.
        groups: published number of groups, or None.
        strata: (column, {value: {class of the reader: published images}}) or None.
    """

    name: str
    title: str
    tree: str
    group: str
    licence: str
    citation: str
    obtain: str
    reader: Callable[[Path, str], Reading]
    variants: tuple[Variant, ...]
    notes: tuple[str, ...] = ()
    guess: Callable[[Path], str] | None = None
    mask_of: Callable[[Row], NDArray[np.uint8] | None] | None = None
    groups: int | None = None
    strata: tuple[str, Mapping[str, Mapping[str, int]]] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the default variant, in order; empty where the data decide."""
        return self.variants[0].classes

    @property
    def counts(self) -> Mapping[str, int]:
        """Published images a class of the default variant."""
        return self.variants[0].counts

    def variant(self, name: str | None, source: Path) -> Variant:
        """Return the variant called `name`; None takes the one the tree tells, or the first.

        Raises:
            InputError: the set has no such variant.
        """
        if name is None:
            name = self.guess(source) if self.guess else self.variants[0].name
        known = {variant.name: variant for variant in self.variants}
        if name not in known:
            raise InputError(
                f"{self.name} has no variant {name!r}{did_you_mean(name, known)}.",
                expected="one of " + "; ".join(f"{v.name} ({v.what})" for v in self.variants),
            )
        return known[name]

    def read(self, source: Path, variant: str | None = None) -> Manifest:
        """Return the manifest of the published tree under `source`; ids are relative to it.

        Raises:
            InputError: `source` is missing, holds another tree, or `variant` is unknown.
        """
        return self.survey(source, variant)[0]

    def survey(self, source: Path, variant: str | None = None) -> tuple[Manifest, Reading, Variant]:
        """Like `read`, with what was left out and the variant that was taken."""
        if not source.exists():
            raise InputError(f"There is nothing at {source}.", expected=self.tree, fix=self.obtain)
        chosen = self.variant(variant, source)
        reading = self.reader(source, chosen.name)
        if not reading.rows:
            raise InputError(
                f"{source} does not hold the published tree of {self.title}.",
                rows=[f"found: {entry}" for entry in _entries(source)] or ["found: nothing"],
                expected=self.tree,
                fix=self.obtain,
            )
        rows = reading.rows
        if chosen.merge:
            rows = tuple(replace(row, label=chosen.merge[row.label]) for row in rows)
        manifest = Manifest(rows, self.name, chosen.classes or None)
        return manifest, reading, chosen

    def stratum_counts(self, rows: tuple[Row, ...]) -> dict[str, Counter[str]]:
        """Images of each class of the reader by the value of the strata column."""
        found: dict[str, Counter[str]] = {}
        for row in rows:
            value = row.attribute(self.strata[0]) if self.strata else None
            found.setdefault(value or "", Counter())[row.label] += 1
        return found


def _entries(source: Path) -> list[str]:
    if source.is_file():
        return [source.name]
    entries = sorted(entry for entry in source.iterdir() if not entry.name.startswith("."))
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
