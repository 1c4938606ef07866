"""The data part of a run: labels, expansion, facts, audit, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress
from cytolens.data.audit import audit
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.manifest import Manifest, Row
from cytolens.data.reading import read_image
from cytolens.experiments.harmonise import harmonise
from cytolens.experiments.recipe import Recipe
from cytolens.pixels.expand import Source, expand
from cytolens.splits.plan import make_split
from cytolens.splits.split import Fold, Split
from cytolens.splits.units import Units


@dataclass(frozen=True)
class Prepared:
    """The images of a run and what is known of them.

    Attributes:
        manifest: with the augmented copies of an offline expansion at its end.
        units: whose resampling gives honest intervals, in manifest order.
        audit: content of `audit.json`.
    """

    manifest: Manifest
    facts: Facts
    split: Split
    units: Units
    audit: dict[str, Any]


def relabel(manifest: Manifest, recipe: Recipe) -> Manifest:
    """Apply the recipe's harmonisation or label map, and its class order.

    Raises:
        InputError: labels without an entry, unknown or missing classes, fewer than two classes,
            or (where the recipe asks) a group with two labels.
    """
    config = recipe.data
    if config.harmonise:
        manifest = harmonise(manifest, config.harmonise, config.classes)
    elif config.label_map:
        manifest = manifest.relabelled(config.label_map, config.classes)
    elif config.classes:
        manifest = replace(manifest, class_order=config.classes)
    present = {row.label for row in manifest.rows}
    if unknown := sorted(present ^ set(manifest.classes)):
        raise InputError(
            "data.classes and the labels of the manifest differ.",
            rows=unknown,
            expected=f"the classes {', '.join(sorted(present))}",
        )
    if len(manifest.classes) < 2:
        raise InputError(f"{manifest.name} has {len(manifest.classes)} class; two are needed.")
    if config.one_label_a_group:
        _refuse_mixed_groups(manifest)
    return manifest


def _refuse_mixed_groups(manifest: Manifest) -> None:
    labels: dict[str, set[str]] = {}
    for row in manifest.rows:
        if row.group is not None:
            labels.setdefault(row.group, set()).add(row.label)
    mixed = [f"{g}: {', '.join(sorted(names))}" for g, names in labels.items() if len(names) > 1]
    if mixed:
        raise InputError(
            f"{len(mixed)} groups carry more than one label.",
            rows=mixed,
            expected="one label a group (data.one_label_a_group is set)",
            fix="correct the labels or the groups, or unset it.",
        )


def prepare(
    manifest: Manifest, facts: Facts, recipe: Recipe, place: Path, progress: Progress
) -> Prepared:
    """Expand, split and audit; nothing is written but the expanded images.

    Args:
        manifest: with the recipe's labels (see `relabel`); `facts` are of its images.
        place: folder for the copies of an offline expansion.

    Raises:
        InputError: classes that cannot be split, …
        LeakError: the honest protocol and a split that leaks.
    """
    if recipe.expand.when == "before_split":
        manifest, facts = _expanded(manifest, recipe, place, progress)
    split, units = make_split(manifest, facts, recipe.split, recipe.protocol, recipe.seed)
    if recipe.expand.when == "train":
        originals = manifest
        manifest, facts = _expanded(manifest, recipe, place, progress)
        copies = manifest.rows[len(originals) :]
        split = replace(split, folds=tuple(_with_children(f, copies) for f in split.folds))
        units = _inherit(units, originals, manifest)
    report = audit(manifest, facts, {}, split.to_json())
    return Prepared(manifest, facts, split, units, report)


def _expanded(
    manifest: Manifest, recipe: Recipe, place: Path, progress: Progress
) -> tuple[Manifest, Facts]:
    """Append augmented copies, each with its parent, and look at all images again."""
    sources = [Source(row.id, row.image, row.label) for row in manifest.rows]
    targets = recipe.expand.targets or recipe.expand.factor
    counts = manifest.counts()
    wanted = (
        len(manifest) * targets
        if isinstance(targets, int)
        else sum(max(targets.get(c, 0), n) for c, n in counts.items())
    )
    with progress.task("augmenting offline", wanted - len(manifest)) as step:
        copies = expand(
            sources, targets, recipe.augment, recipe.seed, place, read_image, lambda *_: step()
        )
    rows = list(manifest.rows)
    for copy in copies:
        parent = manifest.rows[manifest.index[copy.parent]]
        name = f"expanded/{copy.path.relative_to(place).as_posix()}"
        rows.append(replace(parent, id=name, image=copy.path, mask=None, parent=parent.id))
    grown = manifest.with_rows(rows)
    with progress.task("looking at the copies", len(grown)) as step:
        return grown, scan_or_fail(grown, step=step)


def _with_children(fold: Fold, copies: Sequence[Row]) -> Fold:
    """Add the augmented copies of a fold's training images to its training part."""
    train = set(fold.train)
    children = tuple(row.id for row in copies if row.parent in train)
    return replace(fold, train=fold.train + children)


def _inherit(units: Units, originals: Manifest, grown: Manifest) -> Units:
    """Give each augmented copy the unit of its parent."""

    def source(row: Row) -> int:
        return originals.index[row.id if row.id in originals.index else row.parent or row.id]

    rows = [source(row) for row in grown.rows]
    return Units(units.of_row[np.array(rows)], tuple(units.names[row] for row in rows), units.kind)
