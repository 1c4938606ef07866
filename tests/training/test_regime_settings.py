"""Settings that would have no effect are refused, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytolens.core.errors import InputError
from cytolens.experiments.recipe import load_recipe

COST, CONTRAST = "training.regime=cost_sensitive", "training.regime=contrastive"


def _message(recipe: Path, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, settings)
    return str(caught.value)


def test_all_idle_settings_at_once(tiny_toml: Path) -> None:
    said = _message(
        tiny_toml,
        "cost.class_weights={NILM = 2.0}",
        "cost.loss_weight=0.5",
        "contrastive.loss=npairs",
        "contrastive.lr=0.01",
    )
    assert (
        'Settings without effect under training.regime = "finetune".\n'
        "  - cost.class_weights\n"
        "  - cost.loss_weight\n"
        "  - contrastive.loss\n"
        "  - contrastive.lr\n"
        "Way out: remove them, or choose the regime that they belong to."
    ) in said


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((COST, "cost.loss_weight=2.0"), '- cost.loss_weight (cost.matrix is "none")'),
        ((COST, "contrastive.epochs=3"), "- contrastive.epochs"),
        ((CONTRAST, "model.freeze=0.5", "cost.class_weights={a = 1.0}"), "- cost.class_weights"),
        (
            (CONTRAST, "model.freeze=0.5", "contrastive.margin=0.5"),
            '- contrastive.margin (contrastive.loss is "supcon")',
        ),
        (
            (
                CONTRAST, "model.freeze=0.5", "contrastive.loss=triplet",
                "contrastive.temperature=0.5",
            ),
            '- contrastive.temperature (contrastive.loss is "triplet")',
        ),
        (
            (CONTRAST, "model.freeze=0.5", "training.backbone_lr=0.3", "contrastive.margin=0.5"),
            "  - training.backbone_lr (the encoder is trained at contrastive.lr)\n"
            '  - contrastive.margin (contrastive.loss is "supcon")\n',
        ),
        ((COST, "cost.class_weights=none"), "has neither class weights nor a cost matrix."),
        (
            (COST, "cost.class_weights=none", "cost.matrix=bethesda", "cost.loss_weight=0"),
            "has neither class weights nor a cost matrix.",
        ),
        ((CONTRAST, "model.freeze=all"), "trains the backbone, but all of it is frozen."),
        (("cost.matrix=bethseda",), "Unknown cost matrix 'bethseda' (did you mean 'bethesda'?)."),
    ],
)  # fmt: skip
def test_what_is_refused(tiny_toml: Path, settings: tuple[str, ...], said: str) -> None:
    assert said in _message(tiny_toml, *settings)


@pytest.mark.parametrize(
    "settings",
    [
        ("cost.matrix=bethesda", "cost.decision=cheapest"),  # reported under every regime
        (COST, "cost.class_weights=none", "cost.matrix=bethesda"),
        (COST, "cost.matrix={SCC = {NILM = 9}}", "cost.loss_weight=0.5"),
        (CONTRAST, "model.freeze=0.5", "contrastive.loss=npairs", "contrastive.temperature=0.2"),
        (CONTRAST, "model.freeze=0.5", "training.backbone_lr=1.0"),
        (COST, "training.backbone_lr=0.3"),
        (CONTRAST, "model.freeze=0.5", "contrastive.loss=triplet", "contrastive.margin=0.5"),
    ],
)
def test_what_is_accepted(tiny_toml: Path, settings: tuple[str, ...]) -> None:
    load_recipe(tiny_toml, settings)
