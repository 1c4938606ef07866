"""What must be the same when work that was cut off, or is finished, is used again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cytolens.core.config import to_dict
from cytolens.core.files import read_json, sha256_file, sha256_json
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import Recipe

Identity = Mapping[str, Any]


def of_images(manifest: Manifest, facts: Facts) -> list[list[Any]]:
    """Return what a manifest says of each image, with the SHA-256 of its file."""
    return [
        [sha, row.id, row.label, row.group, row.dataset, row.magnification, row.parent, row.extra]
        for row, sha in zip(manifest.rows, facts.sha256, strict=True)
    ]


def of_masks(manifest: Manifest) -> list[str | None]:
    """Return the SHA-256 of each image's mask, None where it has none."""
    return [sha256_file(row.mask) if row.mask else None for row in manifest.rows]


def of_run(recipe: Recipe, manifest: Manifest, facts: Facts, learner: str) -> Identity:
    """Return the identity of a run.

    Args:
        learner: the weights or the classifier (`Learner.identity`).
    """
    identity: dict[str, Any] = {
        "recipe": to_dict(recipe),
        "data": of_images(manifest, facts),
        "weights": learner,
    }
    if recipe.split.kind == "file":
        identity["split file"] = read_json(Path(recipe.split.file), "split file")
    if recipe.classifier.sees_masks:
        identity["masks"] = of_masks(manifest)
    return identity


def digests(identity: Identity) -> dict[str, str]:
    """Return a SHA-256 for each part of an identity; what is kept in a file."""
    return {part: sha256_json(value) for part, value in identity.items()}


def changed(known: Path, identity: Identity) -> list[str]:
    """Return the parts in which an identity differs from the digests kept in a file."""
    before = read_json(known, "identity of what stands here")
    return [part for part, digest in digests(identity).items() if before.get(part) != digest]
