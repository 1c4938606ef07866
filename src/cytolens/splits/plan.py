"""Make a split: holdout, k-fold, leave-one-dataset-out, by attribute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.core.seeding import seed_sequence
from cytolens.data.facts import Facts
from cytolens.data.manifest import COLUMNS, Manifest
from cytolens.splits.leaks import find_leaks, refuse_leaks
from cytolens.splits.lodo import leave_one_dataset_out
from cytolens.splits.split import Fold, Split, check_consistency, read_split
from cytolens.splits.units import (
    Units,
    find_links,
    find_units,
    image_units,
    look_alike_units,
)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SplitConfig:
    """The `[split]` table of a recipe.

    Attributes:
        kind: "holdout", "kfold", "lodo" (leave one dataset out), "attribute", or "file".
        folds: of the k-fold, and of the honest split by attribute.
        repeats: of the k-fold, each with a draw of its own.
        test: share of the holdout, met as the nearest 1 / k.
        validation: share of the training part, met as the nearest 1 / k (0: none).
        unit: "auto" keeps groups, duplicates and augmented siblings together under the honest
            protocol and splits by image under the published one; "image" and "group" insist;
            "near_duplicate" keeps duplicates and siblings together and ignores the groups.
        attribute: the column of the split by attribute.
        test_values: its values whose images are the test part; empty: the first value.
        file: a split file; relative paths start at the working folder.
    """

    kind: Literal["holdout", "kfold", "lodo", "attribute", "file"] = "kfold"
    folds: int = 5
    repeats: int = 1
    test: float = 0.2
    validation: float = 0.15
    unit: Literal["auto", "image", "group", "near_duplicate"] = "auto"
    attribute: str = "magnification"
    test_values: tuple[str, ...] = ()
    file: str = ""

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1:
            raise InputError("folds must be at least 2 and repeats at least 1.")
        if not 0 < self.test <= 0.5 or not 0 <= self.validation <= 0.5:
            raise InputError(
                f"test = {self.test}, validation = {self.validation} are out of range.",
                expected="0 < test ≤ 0.5 and 0 ≤ validation ≤ 0.5",
            )
        if self.kind == "file" and not self.file:
            raise InputError('kind = "file" needs split.file.')


def make_split(
    manifest: Manifest, facts: Facts, config: SplitConfig, protocol: str, seed: int
) -> tuple[Split, Units]:
    """Make (or read) the split of an experiment and check it for leaks.

    Args:
        protocol: "honest" refuses leaks; "published" records them.

    Returns:
        The split, and the units whose resampling gives honest intervals (under either protocol).

    Raises:
        InputError: a class too small to be split, an unknown attribute, a wrong split file, a
            negative seed.
        LeakError: the honest protocol, and something on both sides.
    """
    if seed < 0:
        raise InputError(f"seed = {seed} is negative.", expected="0 or more")
    links = find_links(manifest, facts)
    honest = find_units(manifest, links)
    if config.unit == "group" and not manifest.has_groups:
        raise InputError(
            f'split.unit = "group", but {manifest.name} has no groups.',
            expected="a `group` column with a value in each row",
            fix='name the patients or slides, or set split.unit = "auto".',
        )
    if config.kind == "file":
        split = replace(read_split(Path(config.file), manifest), protocol=protocol, leaks=())
    else:
        by_image = config.unit == "image" or (config.unit == "auto" and protocol == "published")
        units = image_units(manifest) if by_image else honest
        if config.unit == "near_duplicate":
            units = look_alike_units(manifest, links)
        folds, notes = _folds(manifest, config, units, protocol, seed)
        split = Split(config.kind, units.kind, seed, protocol, tuple(folds), (), tuple(notes))
        check_consistency(split, manifest, manifest.name)
    leaks = find_leaks(split, manifest, links)
    if protocol == "honest":
        refuse_leaks(leaks)
    return replace(split, leaks=tuple(leaks)), honest


def _folds(
    manifest: Manifest, config: SplitConfig, units: Units, protocol: str, seed: int
) -> tuple[list[Fold], list[str]]:
    notes: list[str] = []
    rows = np.arange(len(manifest), dtype=np.int64)
    cutter = _Cutter(manifest, units, config.validation, seed)
    if config.kind == "holdout":
        cutter.check_classes(rows)
        test = cutter.part(rows, config.test, "test")
        return [cutter.fold(0, 0, np.setdiff1d(rows, test), test)], notes
    if config.kind == "kfold":
        cutter.check_classes(rows)
        return [
            cutter.fold(f, r, np.setdiff1d(rows, test), test)
            for r in range(config.repeats)
            for f, test in enumerate(cutter.kfold(rows, config.folds, "folds", r))
        ], notes
    if config.kind == "lodo":
        parts, left_out = leave_one_dataset_out(manifest, units)
        folds = [cutter.fold(f, 0, train, test) for f, (train, test) in enumerate(parts)]
        return folds, [*notes, *left_out]
    return _by_attribute(manifest, config, cutter, protocol), notes


@dataclass(frozen=True)
class _Cutter:
    """Cuts rows stratified by class without splitting a unit."""

    manifest: Manifest
    units: Units
    validation: float
    seed: int

    def kfold(self, rows: Rows, folds: int, *names: str | int) -> Iterator[Rows]:
        """Yield the test rows of each fold."""
        labels, units = self.manifest.labels[rows], self.units.of_row[rows]
        state = int(seed_sequence(self.seed, "split", *names).generate_state(1)[0])
        single = len(np.unique(units)) == len(units)
        cutter = StratifiedKFold if single else StratifiedGroupKFold
        if (found := len(np.unique(units))) < folds:
            noun = self.units.kind if found == 1 else f"{self.units.kind}s"
            raise InputError(
                f"{found} {noun} cannot be cut into {folds} parts.",
                fix="ask for fewer folds, or bring more groups.",
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class smaller than the folds is noted
            plan = cutter(folds, shuffle=True, random_state=state)
            try:
                parts = [test for _, test in plan.split(rows, labels, units)]
            except ValueError as error:
                raise InputError(
                    f"The classes are too small for {folds} parts: {error}",
                    fix="ask for fewer folds or a larger test share.",
                ) from error
        yield from (rows[test] for test in parts)

    def part(self, rows: Rows, share: float, *names: str | int) -> Rows:
        """Return about `share` of the rows (the nearest 1 / k).

        Of the k parts, one that leaves every class something outside it, and of these the one
        nearest in size: with few large units the parts differ much.
        """
        wanted = len(rows) * share
        present = len(np.unique(self.manifest.labels[rows]))

        def cost(part: Rows) -> tuple[int, float]:
            rest = self.manifest.labels[np.setdiff1d(rows, part)]
            return present - len(np.unique(rest)), abs(len(part) - wanted)

        return min(self.kfold(rows, max(2, round(1 / share)), *names), key=cost)

    def fold(self, fold: int, repeat: int, train: Rows, test: Rows) -> Fold:
        """Take the validation part out of the training rows and name all three by id."""
        validation = np.array([], dtype=np.int64)
        if self.validation:
            validation = self.part(train, self.validation, "validation", repeat, fold)
            train = np.setdiff1d(train, validation)
        ids = self.manifest.ids
        train_ids, validation_ids, test_ids = (
            tuple(ids[row] for row in part.tolist()) for part in (train, validation, test)
        )
        return Fold(fold, repeat, train_ids, validation_ids, test_ids)

    def check_classes(self, rows: Rows) -> None:
        """Refuse classes that cannot stand on both sides."""
        small: list[str] = []
        for number, name in enumerate(self.manifest.classes):
            mine = rows[self.manifest.labels[rows] == number]
            count = len(np.unique(self.units.of_row[mine]))
            if count < 2:
                images = f"{len(mine)} image{'s' if len(mine) != 1 else ''}"
                small.append(f"{name}: {images} in {count} {self.units.kind}")
        if small:
            raise InputError(
                f"{len(small)} classes are too small to be split.",
                rows=small,
                expected=f"at least 2 {self.units.kind}s a class",
                fix='add images, or leave the class out with data.label_map (label = "").',
            )


def _by_attribute(
    manifest: Manifest, config: SplitConfig, cutter: _Cutter, protocol: str
) -> list[Fold]:
    """Test on some values of a column, train on the others.

    Published: one fold, whoever the patients are. Honest: k folds of units; the test part of a
    fold is its units at the test values, the training part the other units at other values.
    """
    values = [row.attribute(config.attribute) for row in manifest.rows]
    present = sorted({v for v in values if v is not None})
    if None in values or len(present) < 2:
        columns = [*COLUMNS, *sorted({key for row in manifest.rows for key in row.extra})]
        raise InputError(
            f"Not every image has a value of {config.attribute!r}"
            f"{did_you_mean(config.attribute, columns)}.",
            expected=f"a column with two or more values; there are {', '.join(columns)}",
        )
    wanted = config.test_values or (present[0],)
    if unknown := [v for v in wanted if v not in present]:
        raise InputError(
            f"No image has {config.attribute} = {', '.join(unknown)}.",
            expected=f"values among {', '.join(present)}",
        )
    if set(wanted) == set(present):
        raise InputError(
            f"Every image has one of the test values of {config.attribute}: nothing is left to "
            "train on.",
            expected=f"some of {', '.join(present)} outside split.test_values",
        )
    chosen = np.isin(np.array(values), list(wanted))
    rows = np.arange(len(manifest), dtype=np.int64)
    if protocol == "published" or cutter.units.kind == "image":
        return [cutter.fold(0, 0, rows[~chosen], rows[chosen])]
    folds: list[Fold] = []
    for held_out in cutter.kfold(rows, config.folds, "folds", 0):
        test = held_out[chosen[held_out]]
        train = np.setdiff1d(rows, held_out)
        if len(test):
            folds.append(cutter.fold(len(folds), 0, train[~chosen[train]], test))
    return folds
