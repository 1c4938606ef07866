"""The honest recipe that every row of a ledger starts from."""

from __future__ import annotations

from dataclasses import replace

from cytolens.core.errors import InputError
from cytolens.experiments.recipe import Recipe


def honest_recipe(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return the recipe without its leaks, and a sentence for each thing that was changed.

    Raises:
        InputError: the recipe's split is no k-fold, so that rows would test other images.
    """
    split, training, expand = recipe.split, recipe.training, recipe.expand
    if split.kind != "kfold":
        raise InputError(
            f"The ledger makes its own splits, but the recipe's is split.kind = {split.kind!r}.",
            expected='split.kind = "kfold": every row then tests the same images',
            fix="pass --set split.kind=kfold, or take another recipe.",
        )
    notes = []
    if split.unit not in ("auto", "group"):
        notes.append(f'split.unit = "{split.unit}" is left out: the reference is grouped')
    if expand.when == "before_split":
        expand = replace(expand, when="train")
        notes.append("the recipe augments before the split; the reference only in training")
    if training.choose_on == "test":
        training = replace(training, choose_on="validation")
        notes.append("the recipe chooses the epoch by the test part; the reference does not")
    honest = replace(
        recipe,
        protocol="honest",
        split=replace(split, unit="auto"),
        training=training,
        expand=expand,
    )
    return honest, notes
