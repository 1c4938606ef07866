"""A bundle with random weights that knows all that a bundle can: speed is that of any weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from cytolens.bundle import BundleCard, load_bundle, save_bundle
from cytolens.bundle.card import REFERENCE
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.export import export_bundle
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.save import amend_bundle, write_tensors
from cytolens.core.config import to_dict
from cytolens.data.reading import read_image
from cytolens.models.backbones import Body, create_backbone
from cytolens.models.config import ModelConfig
from cytolens.models.heads import create_head
from cytolens.models.weights import resolve_weights
from cytolens.pixels.config import PixelsConfig

_CLASSES = ("a", "b", "c", "d")


def write_random_bundle(folder: Path, files: Sequence[Path], side: int) -> Path:
    """Write a MobileNetV2, exported to OpenVINO, with calibration, sets, checks and decisions.

    Args:
        files: images that its statistics are fitted on.
        side: of its input, in pixels.
    """
    config = ModelConfig(weights="random")
    weights = resolve_weights(config.backbone, "random", 0)
    body = Body(create_backbone(weights), weights, config.pool)
    with torch.inference_mode():
        shape = tuple(body(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[1:])
    parts = {"net.": body.net, "head.": create_head(shape, len(_CLASSES), config)}
    state = {
        prefix + name: tensor.numpy()
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    card = BundleCard(
        _CLASSES, weights.backbone, weights.card, config, PixelsConfig(), (side, side), shape
    )
    save_bundle(folder, card, state)
    export_bundle(folder, "openvino")
    images = [read_image(path) for path in files]
    features = load_bundle(folder).features(images)
    half = len(images) // 2
    ood = fit_ood(features[:half], None, features[half:])
    write_tensors(folder / REFERENCE, ood.tensors)
    amend_bundle(
        folder,
        REFERENCE,
        calibration={"method": "temperature", "parameters": {"temperature": 1.5}},
        conformal={
            "level": 0.9,
            "method": "aps",
            "class_conditional": False,
            "parameters": {"quantiles": [0.9] * len(_CLASSES)},
            "n": half,
        },
        decision={
            "abnormal": list(_CLASSES[1:]),
            "wanted": {"sensitivity": 0.95, "specificity": 0.95},
            "threshold": 0.5,
            "refer": [0.5, 0.6],
        },
        ood=asdict(ood.card),
        checks=to_dict(fit_checks(images)),
    )
    return folder
