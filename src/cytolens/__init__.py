"""Transfer-learned diagnosis of cancer from microscope images, with numbers one can believe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cytolens.bundle import Bundle
    from cytolens.data.manifest import Manifest
    from cytolens.experiments.recipe import Recipe

__all__ = ["__version__", "load_bundle", "run"]
__version__ = "0.1.0"

# OpenMP threads of torch that wait must sleep, not spin: beside other work, two spinning threads
# train a small network many times slower than one. Read once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run(
    recipe: str | Path | Recipe,
    manifest: str | Path | Manifest,
    out: str | Path | None = None,
    *,
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Run an experiment and return its folder; a run that was cut off is resumed.

    Args:
        recipe: a TOML file, the name of a shipped recipe, or a `Recipe`.
        manifest: a CSV or Parquet file, a folder of class folders, or a `Manifest`.
        out: the run folder; default `runs/RECIPE-DATA`.
        settings: such as "training.epochs=20", for a recipe that is read.
        overwrite: replace a finished run.

    Raises:
        cytolens.core.errors.InputError: anything wrong with the data, the recipe or the place.
        cytolens.core.errors.LeakError: the honest protocol and a split that leaks.
    """
    from cytolens.data.loading import read_manifest
    from cytolens.experiments.recipe import load_recipe
    from cytolens.experiments.run import run_recipe

    if isinstance(recipe, (str, Path)):
        recipe = load_recipe(recipe, settings)
    elif settings:
        raise TypeError("settings are for a recipe that is read; use dataclasses.replace on yours")
    if isinstance(manifest, (str, Path)):
        manifest = read_manifest(manifest)
    return run_recipe(recipe, manifest, Path(out) if out else None, overwrite=overwrite)


def load_bundle(folder: str | Path) -> Bundle:
    """Load a deployed model: a `bundle/`, or a run that holds one; see `Bundle.predict`.

    Raises:
        cytolens.core.errors.InputError: no bundle, another format, or a changed model file.
    """
    from cytolens.bundle import load_bundle as load

    return load(folder)
