"""Write a bundle: `bundle.json` and `model.safetensors`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from cytolens.core.config import to_dict
from cytolens.core.files import read_json, sha256_file, write_bytes, write_json, writing
from cytolens.models.cards import Card
from cytolens.models.config import ModelConfig
from cytolens.pixels.config import PixelsConfig

FORMAT = 1
MODEL = "model.safetensors"


@dataclass(frozen=True)
class BundleCard:
    """The content of `bundle.json`.

    Attributes:
        size: height and width in pixels of the network's input.
        feature_shape: of what the head takes, without the batch axis.
        test_views: over which probabilities are averaged.
        sha256: of `model.safetensors`.
        provenance: recipe, data, which fold's model this is, environment.
        metrics: of the run's pooled test predictions (not of this one model).
    """

    classes: tuple[str, ...]
    backbone: str
    card: Card
    model: ModelConfig
    pixels: PixelsConfig
    size: tuple[int, int]
    feature_shape: tuple[int, ...]
    test_views: tuple[str, ...] = ("identity",)
    sha256: str = ""
    format: int = FORMAT
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def save_bundle(folder: Path, card: BundleCard, state: dict[str, torch.Tensor]) -> None:
    """Write the model, then its description with the model's hash.

    Args:
        state: `net.*` (the backbone, names as in its weight file) and `head.*`.

    Raises:
        InputError: the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with writing(folder, "the bundle"):
        write_bytes(folder / MODEL, save(tensors))
        content = to_dict(card)
        content["sha256"] = sha256_file(folder / MODEL)
        write_json(folder / "bundle.json", content)


def attach_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write a run's pooled test metrics into its bundle."""
    content = read_json(folder / "bundle.json", "bundle")
    write_json(folder / "bundle.json", content | {"metrics": metrics})
