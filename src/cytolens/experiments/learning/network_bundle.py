"""The bundle of a run: the first fold's network and what it was trained on."""

from __future__ import annotations

import torch

import cytolens
from cytolens.bundle.card import BundleCard
from cytolens.bundle.save import save_bundle
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.network import Network, weights_summary
from cytolens.models.network import Trainable


def write_bundle(
    network: Network,
    state: dict[str, torch.Tensor],
    model: Trainable,
    task: Task,
    setting: Setting,
) -> None:
    """Keep the first fold's model (never the best one: that would look at the test part)."""
    recipe, manifest, fold = setting.recipe, setting.data.manifest, task.fold
    card = BundleCard(
        classes=manifest.classes,
        backbone=network.weights.backbone,
        card=network.weights.card,
        model=recipe.model,
        pixels=recipe.pixels,
        size=network.size,
        feature_shape=model.head_input,
        test_views=recipe.evaluation.test_views,
        provenance={
            "recipe": recipe.name,
            "protocol": recipe.protocol,
            "data": manifest.name,
            "images": len(manifest),
            "fold": fold.fold,
            "trained_on": len(fold.train),
            "validated_on": len(fold.validation),
            "tested_on": len(fold.test),
            "weights": weights_summary(network.weights),
            "cytolens": cytolens.__version__,
        },
    )
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
    save_bundle(setting.place.path / "bundle", card, arrays)
