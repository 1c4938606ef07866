"""Harmonisation: common classes for sets that label the same thing in different words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from cytolens.core.config import load_toml
from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.data.manifest import Manifest


@dataclass(frozen=True)
class Harmonisation:
    """Which class a label means.

    Attributes:
        about: what a reader must know, such as a class that stands in for another.
        classes: in their order.
        meaning: {folded label: class}.
    """

    name: str
    about: str
    classes: tuple[str, ...]
    meaning: Mapping[str, str]


@cache
def harmonisations() -> Registry[Harmonisation]:
    """Return the harmonisations that ship with the package."""
    source = Path(str(files("cytolens.experiments"))) / "harmonisations.toml"
    known: Registry[Harmonisation] = Registry("harmonisation")
    for name, table in load_toml(source).items():
        classes = tuple(table["classes"])
        meaning: dict[str, str] = {}
        for one in classes:
            for label in table["labels"][one]:
                assert label == folded(label), f"{name}: {label!r} is not folded"
                assert label not in meaning, f"{name}: {label!r} has two classes"
                meaning[label] = one
        known.register(name, Harmonisation(name, table["about"], classes, meaning))
    return known


def folded(label: str) -> str:
    """Return a label without differences of case, spaces, "-" and "_"."""
    return re.sub(r"[\s_-]+", "_", label.strip()).casefold()


def harmonise(manifest: Manifest, name: str, classes: Sequence[str] = ()) -> Manifest:
    """Return the manifest with the classes of a harmonisation that its labels mean.

    Args:
        classes: another order of the classes; empty keeps the harmonisation's.

    Raises:
        InputError: an unknown harmonisation, or labels that it does not know.
    """
    chosen = harmonisations().get(name)
    labels = {row.label for row in manifest.rows}
    if unknown := sorted(label for label in labels if folded(label) not in chosen.meaning):
        raise InputError(
            f"The harmonisation {name!r} does not know some labels of {manifest.name}.",
            rows=unknown,
            expected=f"labels among {', '.join(chosen.meaning)}",
            fix="remove data.harmonise and write the whole map under [data.label_map].",
        )
    mapping = {label: chosen.meaning[folded(label)] for label in labels}
    present = set(mapping.values())
    return manifest.relabelled(mapping, classes or [c for c in chosen.classes if c in present])
