"""Settings of the regimes that would have no effect: told, not ignored."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from cytolens.core.errors import InputError
from cytolens.training.config import TrainingConfig
from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.matrix import COST_MATRICES


def check_regime(
    training: TrainingConfig, cost: CostConfig, contrastive: ContrastiveConfig, freeze: str | float
) -> None:
    """Refuse settings without effect, and a regime that has nothing to work on.

    `cost.matrix` and `cost.decision` are for every regime: costs are always reported.

    Args:
        freeze: `model.freeze`.

    Raises:
        InputError: with all such settings at once.
    """
    if isinstance(cost.matrix, str):
        COST_MATRICES.get(cost.matrix)
    idle = [*_idle_costs(training, cost), *_idle_contrast(training, contrastive)]
    if idle:
        raise InputError(
            f'Settings without effect under training.regime = "{training.regime}".',
            rows=idle,
            fix="remove them, or choose the regime that they belong to.",
        )
    if training.regime == "cost_sensitive" and _costs_nothing(cost):
        raise InputError(
            "The cost-sensitive regime has neither class weights nor a cost matrix.",
            fix='set cost.class_weights = "balanced" or a cost.matrix, or training.regime = '
            '"finetune".',
        )
    if training.regime == "contrastive" and freeze == "all":
        raise nothing_to_train()


def nothing_to_train() -> InputError:
    """Return the error of a contrastive run whose backbone is frozen as a whole."""
    return InputError(
        "The contrastive regime trains the backbone, but all of it is frozen.",
        expected="a model.freeze that leaves some weight layers to train, such as 0.5",
        fix='lower model.freeze, or set training.regime = "finetune".',
    )


def _costs_nothing(cost: CostConfig) -> bool:
    return cost.class_weights == "none" and (cost.matrix == "none" or not cost.loss_weight)


def _idle_costs(training: TrainingConfig, cost: CostConfig) -> list[str]:
    sensitive = training.regime == "cost_sensitive"
    idle = []
    if not sensitive and isinstance(cost.class_weights, dict):
        idle.append("cost.class_weights")
    if cost.loss_weight != CostConfig.loss_weight and not sensitive:
        idle.append("cost.loss_weight")
    if cost.loss_weight != CostConfig.loss_weight and sensitive and cost.matrix == "none":
        idle.append('cost.loss_weight (cost.matrix is "none")')
    return idle


def _idle_contrast(training: TrainingConfig, contrastive: ContrastiveConfig) -> list[str]:
    changed = _changed(contrastive)
    if training.regime != "contrastive":
        return [f"contrastive.{name}" for name in changed]
    idle = []
    if training.backbone_lr != TrainingConfig.backbone_lr:
        idle.append("training.backbone_lr (the encoder is trained at contrastive.lr)")
    users = {
        "temperature": ("supcon", "ntxent", "npairs"),
        "margin": ("triplet",),
    }
    idle += [
        f'contrastive.{name} (contrastive.loss is "{contrastive.loss}")'
        for name in changed
        if contrastive.loss not in users.get(name, (contrastive.loss,))
    ]
    return idle


def _changed(config: Any) -> list[str]:
    """Return the names of the settings that differ from their defaults."""
    return [f.name for f in fields(config) if getattr(config, f.name) != f.default]
