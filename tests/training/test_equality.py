"""What is frozen is computed once, and nothing changes by it: against plain torch training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cytolens.core.seeding import rng, torch_seed
from cytolens.data.reading import read_image
from cytolens.features.table import FeatureTable, Source
from cytolens.models.config import ModelConfig
from cytolens.models.network import Trainable, build_backbone
from cytolens.models.weights import Weights
from cytolens.pixels import PixelsConfig, preprocess, view
from cytolens.training.config import TrainingConfig
from cytolens.training.loop import FoldData, Trainer
from cytolens.training.losses import Loss

MakeRun = Callable[..., tuple[Trainable, FeatureTable]]
KEY, SEED, BATCH, EPOCHS, RATE = (0, 1), 4, 8, 2, 0.05
TRAIN = np.arange(3, 27)
LABELS = np.arange(27, dtype=np.int64) % 3


def _plain(
    sources: list[Source], weights: Weights, config: ModelConfig, head: nn.Module, augment: Any
) -> tuple[nn.Module, nn.Module]:
    """Train body and head the ordinary way: read, augment, forward through everything, step."""
    body = build_backbone(config, weights).body
    order: list[nn.Module] = []  # modules with weights, in the order they run
    hooks = [
        m.register_forward_hook(lambda m, *_: order.append(m))
        for m in body.modules()
        if isinstance(m, (nn.Conv2d, nn.BatchNorm2d))
    ]
    body(torch.zeros(1, 32, 32, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    convolutions = [i for i, m in enumerate(order) if isinstance(m, nn.Conv2d)]
    count = (
        len(convolutions) if config.freeze == "all" else round(config.freeze * len(convolutions))
    )  # type: ignore[operator]
    end = len(order) if count == len(convolutions) else convolutions[count]
    trained = order[end:]
    parameters = [p for m in trained for p in m.parameters()] + list(head.parameters())
    for p in body.parameters():
        p.requires_grad_(False)
    for p in parameters:
        p.requires_grad_(True)
    optimizer = torch.optim.SGD(parameters, RATE, momentum=0.9)
    head.train()
    body.eval()
    for m in trained:
        m.train()
    for epoch in range(EPOCHS):
        rows = rng(SEED, "order", *KEY, epoch).permutation(TRAIN)
        torch.manual_seed(torch_seed(SEED, "dropout", *KEY, epoch))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            images = [
                view(
                    preprocess(read_image(sources[i].path), PixelsConfig(), (32, 32)),
                    augment,
                    SEED,
                    sources[i].id,
                    1 + epoch % 2,
                )
                for i in batch
            ]
            scores = head(body(torch.from_numpy(np.stack(images))))
            loss = nn.functional.cross_entropy(scores, torch.from_numpy(LABELS[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return body, head


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("freeze", ["all", 0.5, 0.35])
def test_training_with_the_store_is_plain_training(
    make_run: MakeRun,
    sources: list[Source],
    tiny_weights: Weights,
    engine: str,
    freeze: str | float,
) -> None:
    config = ModelConfig(backbone="cytolens_tiny", freeze=freeze, dropout=0.2)
    model, table = make_run(config, (1, 2), engine, SEED)
    twin, _ = make_run(config, (1, 2), engine, SEED)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.random.fork_rng():
        body, head = _plain(sources, tiny_weights, config, twin.head, table.spec.augment)

    training = TrainingConfig(
        optimizer="sgd", lr=RATE, momentum=0.9, epochs=EPOCHS, batch=BATCH, views=2, precision="f32"
    )
    data = FoldData(table, LABELS, TRAIN, np.array([], np.int64), KEY)
    Trainer(model, data, training, Loss(training, "softmax"), SEED).fit()
    assert table.computed == 2 * 27

    plain = {f"upper.{k}": v for k, v in body.state_dict().items()}
    plain |= {f"head.{k}": v for k, v in head.state_dict().items()}
    moved = 0.0
    found = model.state_dict()
    assert any(k.startswith("upper") for k in found) == (freeze != "all")
    for name, value in found.items():
        torch.testing.assert_close(value.double(), plain[name].double(), rtol=1e-4, atol=1e-4)
        if name.endswith("weight"):
            moved = max(moved, float((value - start[name]).abs().max()))
    assert moved > 0.01  # the tolerance is far below what training did
