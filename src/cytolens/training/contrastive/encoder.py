"""Train the encoder: what lies above the cut, under a projection head, by a loss over pairs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.core.errors import InputError
from cytolens.core.seeding import torch_seed
from cytolens.features.table import View
from cytolens.models.network import Trainable
from cytolens.training.batches import load
from cytolens.training.checkpoint import Checkpoint, Keeper
from cytolens.training.config import TrainingConfig
from cytolens.training.contrastive.config import ContrastiveConfig
from cytolens.training.contrastive.losses import PAIR_LOSSES, has_pairs
from cytolens.training.contrastive.projection import create_projection
from cytolens.training.contrastive.sampler import balanced_batches
from cytolens.training.loop import FoldData, device_for, use_bf16
from cytolens.training.optimisers import create_optimizer, set_rate
from cytolens.training.regimes import nothing_to_train


def pair_of_views(config: TrainingConfig, epoch: int) -> tuple[View, ...]:
    """Return the views of epoch `epoch` (from 0): two different ones in turn, or the only one."""
    count = config.view_count
    if count < 2:
        return (count,)
    return 1 + 2 * epoch % count, 1 + (2 * epoch + 1) % count


class EncoderTrainer:
    """Trains the upper part of one fold's network in place; its head is not touched.

    Args:
        model: freshly built, with something to train above the cut.
        data: the fold; only its training part is looked at.
        training: the recipe's `[training]`: optimiser, schedule, views, precision.
        config: the recipe's `[contrastive]`.
        seed: of the recipe; batches, projection and dropout are drawn from it and the fold's key.
        checkpoint: where the state is kept; None keeps none.
        on_epoch: called with each line of the history.

    Raises:
        InputError: nothing above the cut can be trained.
    """

    def __init__(
        self,
        model: Trainable,
        data: FoldData,
        training: TrainingConfig,
        config: ContrastiveConfig,
        seed: int,
        checkpoint: Path | None = None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        if model.upper is None or not any(p.requires_grad for p in model.upper.parameters()):
            raise nothing_to_train()
        self.device = device_for()
        features = math.prod(model.head_input)
        projection = create_projection(features, config.projection, seed, *data.key)
        self.encoder = model.with_head(projection)
        self.encoder.to(self.device).to(memory_format=torch.channels_last)
        self.data = data
        self.training = training
        self.config = config
        self.seed = seed
        self.checkpoint = checkpoint
        self.on_epoch = on_epoch
        self.bf16 = use_bf16(training, self.encoder)
        self.loss = PAIR_LOSSES.get(config.loss)(config)
        self.rates = replace(training, lr=config.lr, backbone_lr=1.0, epochs=config.epochs)
        self.optimizer = create_optimizer(self.encoder, self.rates)
        self.history: list[dict[str, Any]] = []

    def fit(self) -> list[dict[str, Any]]:
        """Train to the end and return the history (a dict an epoch); its end is always kept.

        Raises:
            InputError: no batch of an epoch has a pair, or the loss is not finite.
        """
        keeper = Keeper(self.checkpoint)
        self._resume(keeper.read())
        while len(self.history) < self.config.epochs:
            self.epoch(len(self.history))
            keeper.keep(self._state, now=len(self.history) == self.config.epochs)
        self.encoder.eval()
        return self.history

    def epoch(self, number: int) -> None:
        """Train one epoch."""
        started = time.perf_counter()
        batches = self._batches(number)
        views = pair_of_views(self.training, number)
        useful = [b for b in batches if has_pairs(np.tile(self.data.labels[b], len(views)))]
        if not useful:
            raise self._no_pairs(views)
        self.encoder.train()
        seen = [line["train_loss"] for line in self.history]
        total, rate = 0.0, 0.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(self.seed, "encoder", *self.data.key, number))
            for step, (features, labels) in enumerate(self._load(useful, views)):
                rate = set_rate(self.optimizer, self.rates, number + step / len(useful), seen)
                total += self.step(features, labels)
        line = {
            "repeat": self.data.key[0],
            "fold": self.data.key[1],
            "stage": "encoder",
            "epoch": number + 1,
            "lr": rate,
            "train_loss": total / len(useful),
            "train_accuracy": None,
            "validation_loss": None,
            "validation_accuracy": None,
            "seconds": round(time.perf_counter() - started, 4),
            "best": False,
            "batches": len(batches),
            "pairless_batches": len(batches) - len(useful),
        }
        self.history.append(line)
        self.on_epoch(line)

    def step(self, features: Tensor, labels: Tensor) -> float:
        """One optimiser step; return the batch's loss.

        Raises:
            InputError: the loss is not finite.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            vectors = self.encoder(features)
        loss = self.loss(vectors, labels)
        if not torch.isfinite(loss):
            raise InputError(
                f"The contrastive loss became {loss.item()} in epoch {len(self.history) + 1}.",
                fix="lower contrastive.lr, or set training.clip = 1.0.",
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        if self.training.clip:
            torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), self.training.clip)
        self.optimizer.step()
        return float(loss.detach())

    def _batches(self, number: int) -> list[NDArray[np.int64]]:
        rows, key = self.data.train, self.data.key
        labels = self.data.labels[rows]
        return balanced_batches(rows, labels, self.config, self.seed, "pairs", *key, number)

    def _load(
        self, batches: list[NDArray[np.int64]], views: tuple[View, ...]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for rows, features in load(self.data.table, batches, *views):
            labels = torch.from_numpy(np.tile(self.data.labels[rows], len(views)))
            yield features.to(self.device), labels.to(self.device)

    def _no_pairs(self, views: tuple[View, ...]) -> InputError:
        counts = np.bincount(self.data.labels[self.data.train])
        return InputError(
            f"No batch of fold {self.data.key[1]} has a pair to learn from.",
            rows=[
                f"classes in the training part: {(counts > 0).sum()}",
                f"images of the largest class: {counts.max()}",
                f"views of an image in a batch: {len(views)}",
            ],
            expected="two classes, and two images of one of them or two views of each image",
            fix="set training.views = 2 or more, choose another split, or training.regime = "
            '"finetune".',
        )

    def _state(self) -> Checkpoint:
        state = self.encoder.state_dict()
        return Checkpoint(len(self.history), state, self.optimizer.state_dict(), {}, self.history)

    def _resume(self, saved: Checkpoint | None) -> None:
        if saved is not None:
            self.encoder.load_state_dict(saved.model)
            self.optimizer.load_state_dict(saved.optimizer)
            self.history = saved.history
