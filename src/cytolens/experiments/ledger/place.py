"""The folder of a ledger: one recipe and one data set, so that finished rows can be used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_json, write_json, writing
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import Recipe

_IDENTITY = "identity.json"


def claim(folder: Path, recipe: Recipe, manifest: Manifest, facts: Facts, learner: str) -> None:
    """Start a ledger here, or go on with one of the same recipe, images and weights.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    images = [
        [sha, row.id, row.label, row.group, row.magnification, row.parent]
        for row, sha in zip(manifest.rows, facts.sha256, strict=True)
    ]
    identity: dict[str, Any] = {"recipe": to_dict(recipe), "data": images, "weights": learner}
    digest = {key: sha256_json(value) for key, value in identity.items()}
    known = folder / _IDENTITY
    with writing(folder, "the ledger"):
        if not known.exists():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(
                    f"{folder} holds something else than a ledger.", fix="choose another --out."
                )
            folder.mkdir(parents=True, exist_ok=True)
            write_json(known, digest)
    before = read_json(known, "identity of a ledger")
    if changed := [key for key, value in digest.items() if before.get(key) != value]:
        raise InputError(
            f"{folder} holds a ledger with another {' and '.join(changed)}.",
            fix="choose another --out, or remove that folder.",
        )


def is_finished(run: Path) -> bool:
    """Whether a row's run is whole (runs are renamed to their place when they are)."""
    return (run / "metrics.json").is_file() and (run / "predictions.parquet").is_file()
