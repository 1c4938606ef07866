"""What a bundle keeps of the run that made it, so that its card can tell without the run."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cytolens
from cytolens.core.config import to_dict
from cytolens.experiments.environment import packages
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.preparation import Prepared
from cytolens.experiments.recipe import Recipe


def provenance(task: Task, setting: Setting, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance of the model of one fold; nothing of it is a path of this machine.

    Args:
        facts: what the fold was fitted with (`Fitted.facts`).

    Returns:
        {recipe, protocol, data, images, fold, trained_on, validated_on, tested_on, seed, settings
        {table of the recipe: its settings}, class_weights {class: weight} | None, parts {train,
        validation, test: {images, copies, units, classes {name: images}}}, libraries {name:
        version}, cytolens}.
    """
    recipe, data, fold = setting.recipe, setting.data, task.fold
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    return {
        "recipe": recipe.name,
        "protocol": recipe.protocol,
        "data": data.manifest.name,
        "images": len(data.manifest),
        "fold": fold.fold,
        "trained_on": len(fold.train),
        "validated_on": len(fold.validation),
        "tested_on": len(fold.test),
        "seed": recipe.seed,
        "settings": settings(recipe),
        "class_weights": facts.get("class_weights"),
        "parts": {name: _part(ids, data) for name, ids in parts.items()},
        "libraries": {"python": platform.python_version(), **packages()},
        "cytolens": cytolens.__version__,
    }


def settings(recipe: Recipe) -> dict[str, Any]:
    """Return how a model was trained, table by table; those that had no effect are left out.

    What the bundle holds anyway (model, pixels) is not repeated.
    """
    names = ["data", "split", "features", "training"]
    names += ["expand"] if recipe.expand.when != "never" else []
    names += ["augment"] if not recipe.augment.identity else []
    names += ["cost"] if recipe.training.regime == "cost_sensitive" else []
    names += ["contrastive"] if recipe.training.regime == "contrastive" else []
    found = {name: to_dict(getattr(recipe, name)) for name in names}
    found["split"]["file"] = Path(recipe.split.file).name  # the place is this machine's
    return found


def _part(ids: Sequence[str], data: Prepared) -> dict[str, Any]:
    """Count the images of a part, those that are augmented copies, and its units."""
    rows = [data.manifest.index[name] for name in ids]
    own = [data.manifest.rows[row] for row in rows]
    classes = Counter(row.label for row in own)
    return {
        "images": len(own),
        "copies": sum(row.parent is not None for row in own),
        "units": len({data.units.names[row] for row in rows}),
        "classes": {name: classes[name] for name in data.manifest.classes},
    }
