"""Units: what must stay on one side of a split."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.data.duplicates import clusters, exact_pairs, near_pairs
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Links:
    """Pairs of rows that belong together, by the reason why."""

    group: Pairs
    exact: Pairs
    near: Pairs
    sibling: Pairs


@dataclass(frozen=True)
class Units:
    """The unit of each row.

    Attributes:
        of_row: int64 [n]; rows with the same number must stay on one side.
        names: a readable name of each row's unit.
        kind: "group", "near-duplicate cluster" (no group key, but some pictures repeat) or
            "image".
    """

    of_row: NDArray[np.int64]
    names: tuple[str, ...]
    kind: str


def find_links(manifest: Manifest, facts: Facts) -> Links:
    """Find what ties rows together: group, equal files, near duplicates, a common parent."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    families: defaultdict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(manifest.rows):
        if item.group is not None:
            groups[item.group].append(row)
        families[_origin(manifest, item.id)].append(row)
    return Links(
        group=_chain(groups),
        exact=exact_pairs(facts),
        near=[(i, j) for i, j, _ in near_pairs(facts)],
        sibling=_chain(families),
    )


def _origin(manifest: Manifest, name: str) -> str:
    """Follow `parent` to the image nobody drew from another."""
    seen = {name}
    while (row := manifest.index.get(name)) is not None:
        parent = manifest.rows[row].parent
        if parent is None or parent in seen:
            break
        seen.add(parent)
        name = parent
    return name


def _chain(parts: dict[str, list[int]]) -> Pairs:
    return [(a, b) for rows in parts.values() for a, b in itertools.pairwise(rows)]


def find_units(manifest: Manifest, links: Links) -> Units:
    """Join everything that is linked to one unit (transitively)."""
    pairs = [*links.group, *links.exact, *links.near, *links.sibling]
    of_row = clusters(len(manifest), pairs)
    kind = "group" if manifest.has_groups else _kind_without_groups(of_row)
    names = tuple(manifest.rows[root].group or manifest.rows[root].id for root in of_row.tolist())
    return Units(of_row, names, kind)


def look_alike_units(manifest: Manifest, links: Links) -> Units:
    """Join equal files, near duplicates and siblings (transitively), whatever their groups."""
    of_row = clusters(len(manifest), [*links.exact, *links.near, *links.sibling])
    names = tuple(manifest.ids[root] for root in of_row.tolist())
    return Units(of_row, names, _kind_without_groups(of_row))


def _kind_without_groups(of_row: NDArray[np.int64]) -> str:
    return "near-duplicate cluster" if len(np.unique(of_row)) < len(of_row) else "image"


def image_units(manifest: Manifest) -> Units:
    """Every image is its own unit (the published protocols)."""
    return Units(np.arange(len(manifest)), manifest.ids, "image")
