"""The bundle of a run: the first fold's network and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from cytolens.bundle.card import BundleCard
from cytolens.bundle.save import save_bundle
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.learning.provenance import provenance
from cytolens.experiments.network import Network, weights_summary
from cytolens.models.network import Trainable


def write_bundle(
    network: Network,
    state: dict[str, torch.Tensor],
    model: Trainable,
    task: Task,
    setting: Setting,
    facts: Mapping[str, Any],
) -> None:
    """Keep the first fold's model (never the best one: that would look at the test part).

    Args:
        state: the whole network's tensors.
        facts: what the fold was fitted with (`Fitted.facts`).
    """
    recipe, manifest = setting.recipe, setting.data.manifest
    card = BundleCard(
        classes=manifest.classes,
        backbone=network.weights.backbone,
        card=network.weights.card,
        model=recipe.model,
        pixels=recipe.pixels,
        size=network.size,
        feature_shape=model.head_input,
        test_views=recipe.evaluation.test_views,
        provenance=provenance(task, setting, facts) | {"weights": weights_summary(network.weights)},
    )
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    save_bundle(setting.place.path / "bundle", card, arrays)
