"""Bundles with random heads: no training, for what does not depend on what was learned."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cytolens.bundle import load_bundle
from cytolens.bundle.card import EXAMPLES, REFERENCE, BundleCard
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.examples import make_examples, thumbnail
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.save import amend_bundle, save_bundle, write_tensors
from cytolens.core.config import to_dict
from cytolens.core.seeding import rng
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.weights import resolve_weights
from cytolens.pixels.config import PixelsConfig

SIDE = 48


def write_random_bundle(
    folder: Path,
    classes: tuple[str, ...] = ("a", "b", "c"),
    *,
    seed: int = 0,
    test_views: tuple[str, ...] = ("identity",),
    **model: Any,
) -> BundleCard:
    """Write a bundle of `cytolens_tiny` as it ships under a head that was drawn."""
    config = ModelConfig(**{"backbone": "cytolens_tiny", "weights": "auto"} | model)
    weights = resolve_weights(config.backbone, config.weights, seed)
    body = Body(create_backbone(weights, seed), weights, config.pool)
    with torch.no_grad():
        shape = tuple(body(torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)).shape[1:])
    head = create_head(shape, len(classes), config)
    drawn = rng(seed, "head")
    state = {f"net.{name}": tensor.numpy() for name, tensor in body.net.state_dict().items()}
    for name, tensor in head.state_dict().items():
        values = drawn.normal(0, 2 / np.sqrt(tensor.shape[-1]), tuple(tensor.shape))
        state[f"head.{name}"] = values.astype(np.float32)
    card = BundleCard(
        classes, weights.backbone, weights.card, config, PixelsConfig(), (SIDE, SIDE), shape,
        test_views=test_views,
    )  # fmt: skip
    save_bundle(folder, card, state)
    return card


def noise_images(count: int, seed: int = 0, side: int = SIDE) -> Any:
    """Return uint8 images [count, side, side, 3], each of another colour and strength of noise."""
    drawn = rng(seed, "images")
    base, spread = drawn.uniform(40, 220, (count, 1, 1, 3)), drawn.uniform(2, 60, (count, 1, 1, 1))
    noise = drawn.normal(0, 1, (count, side, side, 3))
    return np.clip(base + spread * noise, 0, 255).astype(np.uint8)


def teach(folder: Path, images: Any, *parts: str, abnormal: tuple[str, ...] = ("b", "c")) -> None:
    """Give a random bundle what a run would: of `parts`, or everything but examples, by hand.

    Args:
        images: uint8 [n, H, W, 3]; half of them count as training.
    """
    wanted = set(parts) or {"calibration", "conformal", "ood", "checks", "decision"}
    made: dict[str, Any] = {
        "calibration": {"method": "temperature", "parameters": {"temperature": 2.0}},
        "conformal": {
            "level": 0.9,
            "method": "lac",
            "class_conditional": False,
            "parameters": {"quantiles": [0.7, 0.7, 0.7]},
            "n": 100,
        },
        "decision": {
            "abnormal": list(abnormal),
            "wanted": {"sensitivity": 0.95, "specificity": 0.95},
            "threshold": 0.4,
            "refer": [0.4, 0.6],
        },
        "checks": to_dict(fit_checks(images)),
    }
    half, added = len(images) // 2, []
    if "ood" in wanted:
        features = load_bundle(folder, "torch").features(images)
        ood = fit_ood(features[:half], None, features[half:], seed=0)
        write_tensors(folder / REFERENCE, ood.tensors)
        made["ood"] = asdict(ood.card)
        added.append(REFERENCE)
    if "examples" in wanted:  # the training images, of one class after another
        bundle = load_bundle(folder, "torch")
        labels = [bundle.classes[i % len(bundle.classes)] for i in range(half)]
        pictures = [thumbnail(image) for image in images[:half]]
        features = bundle.features(images[:half])
        card, tensors = make_examples(pictures, labels, features, bundle.classes)
        write_tensors(folder / EXAMPLES, tensors)
        made["examples"] = asdict(card)
        added.append(EXAMPLES)
    amend_bundle(folder, *added, **{name: made[name] for name in wanted})
