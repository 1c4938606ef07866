"""Leave one dataset out: which images each dataset is tested on, and which teach."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest
from cytolens.splits.units import Units

Rows = NDArray[np.int64]


def leave_one_dataset_out(
    manifest: Manifest, units: Units
) -> tuple[list[tuple[Rows, Rows]], list[str]]:
    """Test each dataset by what the others teach.

    The training side keeps all its classes. Test images of classes that it lacks are left out; a
    dataset of such classes alone, or whose absence leaves fewer than two classes, is not tested.

    Returns:
        training and test rows (int64) of each fold, and notes on what was left out.

    Raises:
        InputError: images without a dataset, fewer than two datasets, or no fold left.
    """
    without = [row.id for row in manifest.rows if row.dataset is None]
    names = sorted({row.dataset for row in manifest.rows if row.dataset is not None})
    if without or len(names) < 2:
        raise InputError(
            f"Leave-one-dataset-out needs a dataset for each image: {len(names)} datasets, "
            f"{len(without)} images without.",
            rows=without,
            expected="a `dataset` column with at least two values",
        )
    source = np.array([row.dataset for row in manifest.rows])
    folds: list[tuple[Rows, Rows]] = []
    notes: list[str] = []
    skipped: list[str] = []
    for name in names:
        test, train = np.flatnonzero(source == name), np.flatnonzero(source != name)
        # A unit that reaches over both datasets belongs to the test side.
        across = np.isin(units.of_row[train], units.of_row[test])
        train = train[~across]
        learned = set(manifest.labels[train].tolist())
        known = np.isin(manifest.labels[test], list(learned))
        if reason := _why_skipped(len(learned), int(known.sum())):
            skipped.append(f"dataset {name} is not tested: {reason}")
            continue
        where = f"fold {len(folds)} ({name})"
        if across.any():
            notes.append(
                f"{where}: {int(across.sum())} training images left out, their {units.kind} "
                f"stands in {name} too"
            )
        notes += _partial_classes(manifest, where, test, known)
        folds.append((train, test[known]))
    if not folds:
        raise InputError(
            "No dataset can be left out.",
            rows=skipped,
            expected="a dataset with a class that the others have too, and two classes in those",
            fix="harmonise the labels with data.harmonise or data.label_map.",
        )
    return folds, notes + skipped


def _why_skipped(learned: int, known: int) -> str:
    """Say why a dataset cannot be the test part; "" where it can."""
    if learned < 2:
        return f"the others have {learned} class{'' if learned == 1 else 'es'} to train on"
    return "" if known else "the others have none of its classes"


def _partial_classes(
    manifest: Manifest, where: str, test: Rows, known: NDArray[np.bool_]
) -> Iterator[str]:
    """Note the test images of classes that training lacks, and a test part of one class."""
    for label in np.unique(manifest.labels[test[~known]]).tolist():
        count = int((manifest.labels[test] == label).sum())
        yield (
            f"{where}: {count} test images of {manifest.classes[label]} left out, the other side "
            "has none"
        )
    tested = np.unique(manifest.labels[test[known]])
    if len(tested) == 1:
        yield (
            f"{where}: all test images are {manifest.classes[int(tested[0])]}; the AUC of this "
            "fold alone is undefined"
        )
