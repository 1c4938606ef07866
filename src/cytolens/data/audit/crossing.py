"""What crosses a line it must not: labels, groups, or the parts of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.data.duplicates import clusters
from cytolens.data.manifest import Manifest

_PARTS = ("train", "validation", "test")
_SHOWN = 3


def pairs_across(
    manifest: Manifest, pairs: Sequence[tuple[int, int]], column: str
) -> list[list[str]]:
    """Return the pairs (as ids) whose `column` differs between the two."""
    ids, rows = manifest.ids, manifest.rows
    return [
        [ids[i], ids[j]] for i, j in pairs if rows[i].attribute(column) != rows[j].attribute(column)
    ]


def find_leaks(
    manifest: Manifest,
    split: Mapping[str, Any],
    pairs: Mapping[str, Sequence[tuple[int, int]]],
    siblings: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Return one sentence for each kind of unit that stands on both sides of a fold.

    Args:
        split: the content of split.json.
        pairs: {name of the unit: pairs of rows}, e.g. exact and near duplicates.
        siblings: the audit's `siblings`.

    Raises:
        InputError: the split names images that the manifest does not have.
    """
    units: dict[str, NDArray[np.int64]] = {}
    if manifest.has_groups:
        names = {row.group: i for i, row in reversed(list(enumerate(manifest.rows)))}
        units["group"] = np.array([names[row.group] for row in manifest.rows], dtype=np.int64)
    for name, linked in pairs.items():
        units[name] = clusters(len(manifest), list(linked))
    family = [
        (manifest.index[entry["rows"][0]], manifest.index[other])
        for entry in siblings
        for other in entry["rows"][1:]
    ]
    units["set of augmented siblings"] = clusters(len(manifest), family)
    assigned = [_assignment(manifest, fold) for fold in split["folds"]]
    return [
        sentence
        for name, unit in units.items()
        for sides in combinations(range(len(_PARTS)), 2)
        if (sentence := _sentence(manifest, name, unit, sides, assigned))
    ]


def _assignment(manifest: Manifest, fold: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the part of each row in this fold (index into `_PARTS`), -1 where it has none."""
    part = np.full(len(manifest), -1, dtype=np.int64)
    unknown: list[str] = []
    for number, name in enumerate(_PARTS):
        for image in fold.get(name, ()):
            if image in manifest.index:
                part[manifest.index[image]] = number
            else:
                unknown.append(f"{image} ({name})")
    if unknown:
        raise InputError(
            f"{len(unknown)} images of the split are not in {manifest.name}.",
            rows=unknown,
            expected="a split made from this manifest",
            fix="make the split again, or name the manifest it was made from.",
        )
    return part


def _sentence(
    manifest: Manifest,
    name: str,
    unit: NDArray[np.int64],
    sides: tuple[int, int],
    assigned: Sequence[NDArray[np.int64]],
) -> str:
    """Say how many units stand on both sides, over all folds; "" when none does."""
    crossing: list[int] = []
    folds = 0
    for part in assigned:
        both = np.intersect1d(unit[part == sides[0]], unit[part == sides[1]])
        folds += bool(len(both))
        crossing += both.tolist()
    if not crossing:
        return ""
    distinct = sorted(set(crossing))
    shown = [
        str(manifest.rows[i].group if name == "group" else manifest.ids[i])
        for i in distinct[:_SHOWN]
    ]
    more = ", …" if len(distinct) > _SHOWN else ""
    n = len(distinct)
    stands = f"{n} {name}{'s' if n > 1 else ''} stand{'' if n > 1 else 's'}"
    if name == "set of augmented siblings" and n > 1:
        stands = f"{n} sets of augmented siblings stand"
    return (
        f"{stands} in both {_PARTS[sides[0]]} and {_PARTS[sides[1]]} "
        f"({', '.join(shown)}{more}) in {folds} of {len(assigned)} folds."
    )
