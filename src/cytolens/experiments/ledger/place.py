"""The folder of a ledger: one recipe and one data set, so that finished rows can be used again."""

from __future__ import annotations

from pathlib import Path

from cytolens.core.errors import InputError
from cytolens.core.files import write_json, writing
from cytolens.data.facts import Facts
from cytolens.data.manifest import Manifest
from cytolens.experiments.identity import changed, digests, of_run
from cytolens.experiments.recipe import Recipe

_IDENTITY = "identity.json"


def claim(folder: Path, recipe: Recipe, manifest: Manifest, facts: Facts, learner: str) -> None:
    """Start a ledger here, or go on with one of the same recipe, images and weights.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    identity = of_run(recipe, manifest, facts, learner)
    known = folder / _IDENTITY
    with writing(folder, "the ledger"):
        if not known.exists():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(
                    f"{folder} holds something else than a ledger.", fix="choose another --out."
                )
            folder.mkdir(parents=True, exist_ok=True)
            write_json(known, digests(identity))
    if parts := changed(known, identity):
        raise InputError(
            f"{folder} holds a ledger with another {' and '.join(parts)}.",
            fix="choose another --out, or remove that folder.",
        )


def is_finished(run: Path) -> bool:
    """Whether a row's run is whole (runs are renamed to their place when they are)."""
    return (run / "metrics.json").is_file() and (run / "predictions.parquet").is_file()
