"""The rows of a ledger for a data set: each its recipe, or the reason why it cannot be had."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from cytolens.core.errors import CytolensError
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import ExpandConfig, Recipe
from cytolens.pixels.config import AugmentConfig
from cytolens.splits.plan import make_split
from cytolens.splits.units import Units, find_links, find_units, look_alike_units

GROUPED, NEAR, IMAGE = "grouped", "near_duplicate", "image"
AUGMENTED, MAGNIFICATION, STOPPING = "augmented", "magnification", "early_stopping"
COPIES = 3  # a class grows to this multiple where the recipe names no expansion
AUGMENT = AugmentConfig(rotation=20, zoom=0.1, horizontal_flip=True, vertical_flip=True)


@dataclass(frozen=True)
class Entry:
    """A row before it is run.

    Attributes:
        what: what differs from the reference, in a sentence.
        recipe: of the row; None where it cannot be had.
        skipped: then the reason, else None.
        reference: recipe of an honest reference of the row's own; None: that of the ledger.
        originals: score the images of the manifest alone, not their augmented copies.
    """

    name: str
    title: str
    what: str
    recipe: Recipe | None = None
    skipped: str | None = None
    reference: Recipe | None = None
    originals: bool = False


@dataclass(frozen=True)
class Subject:
    """What the rows are decided from: the images, what is known of them, the honest recipe."""

    manifest: Manifest
    facts: Facts
    recipe: Recipe
    honest: Units
    alike: Units


def make_entries(manifest: Manifest, facts: Facts, recipe: Recipe) -> list[Entry]:
    """Return the rows in their order, the honest reference first.

    Args:
        manifest: with the recipe's labels.
        recipe: honest (`settings.honest_recipe`).
    """
    links = find_links(manifest, facts)
    honest, alike = find_units(manifest, links), look_alike_units(manifest, links)
    subject = Subject(manifest, facts, recipe, honest, alike)
    makers = (_reference, _near_duplicate, _by_image, _augmented, _magnification, _stopping)
    return [maker(subject) for maker in makers]


def _published(subject: Subject, name: str, unit: str, **changes: object) -> Recipe:
    """Return the recipe of a leaking row; `changes` replace whole tables."""
    split = replace(subject.recipe.split, unit=unit)  # type: ignore[arg-type]  # names of units
    tables = {"split": split, **changes}
    named = f"{subject.recipe.name}-{name}"
    return replace(subject.recipe, name=named, protocol="published", **tables)  # type: ignore[arg-type]


def _reference(subject: Subject) -> Entry:
    titles = {
        "group": ("Grouped", "images of one group, duplicates and near duplicates together"),
        "near-duplicate cluster": ("Near duplicates together", "no groups: near duplicates"),
        "image": ("By image", "no groups, and no two images look alike: each image by itself"),
    }
    title, together = titles[subject.honest.kind]
    what = f"The honest reference ({together}); every image is tested once a repeat."
    return Entry(GROUPED, f"{title} (reference)", what, subject.recipe)


def _near_duplicate(subject: Subject) -> Entry:
    entry = Entry(
        NEAR,
        "Near duplicates together",
        "Equal and nearly equal pictures stay together, but groups are ignored.",
    )
    if subject.honest.kind != "group" and _same(subject.honest, subject.alike):
        return replace(entry, skipped="no groups: this is the reference")
    if _single(subject.alike):
        return replace(entry, skipped="no two images look alike: the same as the split by image")
    if _same(subject.honest, subject.alike):
        return replace(entry, skipped="the groups hold near duplicates alone: the reference again")
    return replace(entry, recipe=_published(subject, NEAR, "near_duplicate"))


def _by_image(subject: Subject) -> Entry:
    entry = Entry(IMAGE, "By image", "Every image by itself: groups and duplicates are ignored.")
    if _single(subject.honest):
        return replace(entry, skipped="every unit is one image: this is the reference")
    return replace(entry, recipe=_published(subject, IMAGE, "image"))


def _augmented(subject: Subject) -> Entry:
    recipe = subject.recipe
    augment = AUGMENT if recipe.augment.identity else recipe.augment
    expand = replace(recipe.expand, when="before_split")
    if recipe.expand.when == "never":
        expand = ExpandConfig("before_split", COPIES)
    turned = "as the recipe augments"
    if augment is AUGMENT and recipe.augment.identity:
        turned = (
            f"turned by up to {AUGMENT.rotation:g}°, flipped, zoomed by up to "
            f"{100 * AUGMENT.zoom:g} %"
        )
    grown = "to the recipe's counts" if expand.targets else f"{expand.factor}-fold"
    what = (
        f"The set is augmented {grown} first ({turned}), then split by image; the original images "
        "alone are scored. It holds what the split by image adds and what training on copies adds."
    )
    row = _published(subject, AUGMENTED, "image", augment=augment, expand=expand)
    return Entry(AUGMENTED, "Augmented before the split", what, row, originals=True)


def _magnification(subject: Subject) -> Entry:
    manifest = subject.manifest
    value, skipped = _test_value(subject)
    entry = Entry(
        MAGNIFICATION,
        "Same patients at other magnification",
        "Training on other magnifications of the very groups that are tested"
        + (f" at {value}" if value else "")
        + "; its own reference holds the tested groups out (and so trains on fewer images).",
        skipped=skipped,
    )
    if value is None:
        return entry
    split = replace(
        subject.recipe.split, kind="attribute", attribute="magnification", test_values=(value,),
        repeats=1,
    )  # fmt: skip
    reference = replace(
        subject.recipe, name=f"{subject.recipe.name}-{MAGNIFICATION}-grouped", split=split
    )
    try:
        make_split(manifest, subject.facts, split, "honest", reference.seed)
    except CytolensError as error:
        return replace(entry, skipped=f"no honest reference: {str(error).splitlines()[0]}")
    row = _published(subject, MAGNIFICATION, "auto", split=split)
    return replace(entry, recipe=row, reference=reference)


def _test_value(subject: Subject) -> tuple[str | None, str | None]:
    """Return the magnification to be tested, or None and the reason why there is none."""
    manifest, split = subject.manifest, subject.recipe.split
    values = [row.magnification for row in manifest.rows]
    present = sorted({v for v in values if v is not None}, key=_strength)
    if not present:
        return None, "no magnification"
    if None in values:
        return None, "not every image has a magnification"
    if len(present) < 2:
        return None, f"one magnification only ({present[0]})"
    if not manifest.has_groups:
        return None, "no groups" if _no_groups(manifest) else "not every image has a group"
    seen: defaultdict[str | None, set[str | None]] = defaultdict(set)
    for row in manifest.rows:
        seen[row.group].add(row.magnification)
    wanted = split.test_values[:1] if split.attribute == "magnification" else ()
    value = wanted[0] if wanted and wanted[0] in present else present[0]
    if not any(value in known and len(known) > 1 for known in seen.values()):
        return None, f"no group with images at {value} has images at another magnification"
    return value, None


def _strength(value: str) -> tuple[float, str]:
    """Order "40X" before "100X"; what is no number comes last."""
    digits = "".join(c for c in value if c.isdigit() or c == ".")
    try:
        return float(digits), value
    except ValueError:
        return float("inf"), value


def _stopping(subject: Subject) -> Entry:
    recipe = subject.recipe
    entry = Entry(
        STOPPING,
        "Test part used for early stopping",
        "The same split as the reference, but the epoch is chosen by the accuracy on the test "
        "part.",
    )
    if recipe.classifier.used:
        return replace(entry, skipped="the recipe's classifier is fitted once: there are no epochs")
    if recipe.training.epochs < 2:
        return replace(entry, skipped="the recipe trains one epoch: there is none to choose")
    if not subject.manifest.has_groups and not _same(subject.honest, subject.alike):
        return replace(entry, skipped="only some images have a group")
    unit = "group" if subject.manifest.has_groups else "near_duplicate"
    training = replace(
        recipe.training, choose_on="test", keep="best", monitor="validation_accuracy"
    )
    return replace(entry, recipe=_published(subject, STOPPING, unit, training=training))


def _single(units: Units) -> bool:
    return len(np.unique(units.of_row)) == len(units.of_row)


def _same(first: Units, second: Units) -> bool:
    """Whether both put the same images together; a unit is named by its smallest row."""
    return bool((first.of_row == second.of_row).all())


def _no_groups(manifest: Manifest) -> bool:
    return all(row.group is None for row in manifest.rows)
