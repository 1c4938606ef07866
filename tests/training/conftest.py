"""A small network with weights of a sensible scale, and images it can be trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cytolens.features.store import Store
from cytolens.features.table import FeatureSpec, FeatureTable, Source
from cytolens.models.cards import Card
from cytolens.models.config import ModelConfig
from cytolens.models.network import Trainable, build_backbone, build_trainable
from cytolens.models.tiny import TinyNet
from cytolens.models.weights import Weights
from cytolens.pixels import AugmentConfig, PixelsConfig

SIZE = (32, 32)
COUNT = 27
AUGMENT = AugmentConfig(rotation=30, horizontal_flip=True, brightness=0.1)
LABELS = np.arange(COUNT, dtype=np.int64) % 3


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny layers on a busy machine: a second thread only waits (200 times slower, measured)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Random convolutions, batch statistics taken from noise: features of the size of one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = TinyNet().train()
        for _ in range(60):
            net.forward_features(torch.randn(16, 3, 32, 32))
    path = tmp_path_factory.mktemp("weights") / "cytolens_tiny.safetensors"
    save_file(net.state_dict(), path)
    card = Card("cytolens_tiny", SIZE, (0.5, 0.4, 0.6), (0.25, 0.2, 0.3))
    return Weights("cytolens_tiny", path, card, "calibrated")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    found = []
    for i in range(COUNT):
        random = np.random.default_rng(i)
        image = random.integers(0, 120, (40, 36, 3), dtype=np.uint8)
        image[..., LABELS[i]] += 60
        path = tmp_path / f"{i}.png"
        Image.fromarray(image).save(path)
        found.append(Source(path.name, path, hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


MakeRun = Callable[..., tuple[Trainable, FeatureTable]]


@pytest.fixture
def make_run(tiny_weights: Weights, sources: list[Source]) -> MakeRun:
    """Build the table and the trainable part of one fold, as an experiment does."""

    def make(
        model: ModelConfig, views: tuple[int, ...] = (0,), engine: str = "torch", seed: int = 0
    ) -> tuple[Trainable, FeatureTable]:
        built = build_backbone(model, tiny_weights)
        network = None
        if built.lower is not None:
            network = {"backbone": "cytolens_tiny", "freeze": model.freeze, "pool": model.pool}
        spec = FeatureSpec(network, PixelsConfig(), AUGMENT, SIZE, engine, seed=seed)

        def lower() -> torch.nn.Module:
            assert built.lower is not None
            return built.lower

        table = FeatureTable(sources, spec, lower, Store())
        table.prepare(range(COUNT), views)
        again = None if built.upper is None else lambda: build_backbone(model, tiny_weights)
        trainable = build_trainable(model, tiny_weights, again, table.shape, 3, seed, "fold", 0, 0)
        return trainable, table

    return make
