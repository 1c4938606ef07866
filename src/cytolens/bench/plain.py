"""The plain way in torch: read, stack, forward through everything, as a tutorial writes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cytolens.core.seeding import rng
from cytolens.experiments.recipe import Recipe
from cytolens.models.network import Trainable
from cytolens.training.batches import cut
from cytolens.training.losses import Loss
from cytolens.training.optimisers import create_optimizer, set_rate

BATCH = 32

Pixels = Callable[[NDArray[np.int64], int], NDArray[np.uint8]]  # (rows, view) -> [n, H, W, 3]


def read(path: Path, side: int) -> NDArray[np.uint8]:
    """Decode with Pillow and resize, uint8 [side, side, 3]."""
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)


def batches(files: Sequence[Path], side: int, size: int = BATCH) -> Iterator[NDArray[np.uint8]]:
    """Yield uint8 [n, side, side, 3], read in two threads, a batch ahead."""
    with ThreadPoolExecutor(2) as pool:
        ahead: deque[list[Future[NDArray[np.uint8]]]] = deque()
        for start in range(0, len(files), size):
            ahead.append([pool.submit(read, path, side) for path in files[start : start + size]])
            if len(ahead) > 1:
                yield np.stack([one.result() for one in ahead.popleft()])
        while ahead:
            yield np.stack([one.result() for one in ahead.popleft()])


def extract(
    network: Callable[[Tensor], Tensor], files: Sequence[Path], side: int, device: str
) -> NDArray[np.float32]:
    """Return what a network makes of image files, float32 [n, d]."""
    found = []
    with torch.inference_mode():
        for batch in batches(files, side):
            found.append(network(torch.from_numpy(batch).to(device)).float().cpu().numpy())
    return np.concatenate(found)


def train(
    lower: nn.Module,
    model: Trainable,
    pixels: Pixels,
    labels: NDArray[np.int64],
    recipe: Recipe,
    epochs: int,
) -> None:
    """Train as the papers do: every image goes through the whole network in every epoch.

    Images come in the order that ours has, in the same views, so that both ways end with the same
    weights.

    Args:
        lower: what is frozen, in inference mode: uint8 [n, H, W, 3] -> features.
        model: the rest; trained in place, where its parameters are.
        epochs: so many of the recipe's first ones.
    """
    training = recipe.training
    device = next(model.parameters()).device
    optimizer = create_optimizer(model, training)
    loss_of = Loss(training, recipe.model.output).to(device)
    for epoch in range(epochs):
        order = rng(recipe.seed, "order", 0, 0, epoch).permutation(np.arange(len(labels)))
        parts = cut(order, training.batch)
        model.train()
        for step, part in enumerate(parts):
            set_rate(optimizer, training, epoch + step / len(parts), [])
            images = torch.from_numpy(pixels(part, training.view_of(epoch))).to(device)
            with torch.no_grad():
                features = lower(images)
            loss = loss_of(model(features), torch.from_numpy(labels[part]).to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            optimizer.step()
