"""Train one fold: fit, epoch, step; best weights, early stopping, resumable at any epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng, torch_seed
from cytolens.features.table import View
from cytolens.models.heads import probabilities
from cytolens.models.network import Trainable
from cytolens.training.batches import Table, cut, load
from cytolens.training.checkpoint import Checkpoint, Keeper
from cytolens.training.config import TrainingConfig
from cytolens.training.losses import Loss, correct
from cytolens.training.optimisers import create_optimizer, set_rate
from cytolens.training.ranks import ALONE, Ranks

_EVALUATION_BATCH = 64

State = dict[str, Any]


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch.

    Attributes:
        features: [n, …].
        labels: int64 [n].
        counts: what the share counts in a mean over images, Σ w_i (`Loss.weight`).
        share: what its mean counts in the mean over the processes, of which gradients are taken.
    """

    features: Tensor
    labels: Tensor
    counts: float
    share: float = 1.0


@dataclass(frozen=True)
class FoldData:
    """What a fold trains on.

    Attributes:
        table: features, prepared for the rows and views that training asks for.
        labels: int64 [n], of every row of the table.
        train, validation: int64 rows; validation may be empty.
        key: names the fold in seeds, (repeat, fold).
    """

    table: Table
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    key: tuple[int, int]


def device_for() -> torch.device:
    """Return CUDA when there is a device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def use_bf16(config: TrainingConfig, model: Trainable) -> bool:
    """Whether training runs under bf16 autocast; see `TrainingConfig.precision`."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if model.upper is None:
        return False
    return torch.cuda.is_available() and bool(torch.cuda.is_bf16_supported())


class Trainer:
    """Trains the upper part and head of one fold.

    Args:
        model: freshly built; trained in place.
        data: the fold.
        config: the recipe's `[training]`.
        loss: of the fold.
        seed: of the recipe; order, dropout and views are drawn from it and the fold's key.
        checkpoint: where the state is kept; None keeps none.
        on_epoch: called with each line of the history.
        ranks: the processes that train this fold together. Each takes its share of every batch;
            steps, history and weights are those of one process, but for rounding, dropout, and a
            last batch of fewer images than processes, which joins the one before.

    Raises:
        InputError: fewer training images, or smaller batches, than processes.
    """

    def __init__(
        self,
        model: Trainable,
        data: FoldData,
        config: TrainingConfig,
        loss: Loss,
        seed: int,
        checkpoint: Path | None = None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
        ranks: Ranks = ALONE,
    ) -> None:
        if min(len(data.train), config.batch) < ranks.size:
            raise InputError(
                f"{ranks.size} devices cannot share batches of {config.batch} from "
                f"{len(data.train)} training images.",
                expected="an image a device in every batch",
                fix="take fewer --devices, or raise training.batch.",
            )
        self.device = device_for()
        self.model = model.to(self.device).to(memory_format=torch.channels_last)
        self.ranks = ranks
        untraced = model.upper is not None and not isinstance(model.upper, GraphModule)
        self.together = ranks.together(self.model, idle=untraced)
        self.data = data
        self.config = config
        self.loss = loss.to(self.device)
        self.seed = seed
        self.checkpoint = checkpoint if ranks.first else None
        self.on_epoch = on_epoch
        self.bf16 = use_bf16(config, model)
        self.optimizer = create_optimizer(model, config)
        self.history: list[dict[str, Any]] = []
        self.best: State = {}

    def fit(self) -> list[dict[str, Any]]:
        """Train to the end, load the weights to keep, return the history (a dict an epoch)."""
        keeper = Keeper(self.checkpoint)
        self._resume(self.ranks.same(keeper.read()))
        while len(self.history) < self.config.epochs and not self._out_of_patience():
            self.epoch(len(self.history))
            keeper.keep(self._state)
        if self.config.keep == "best" and self.best:
            self.model.load_state_dict(self.best)
        self.ranks.apart(self.model)
        self.model.eval()
        return self.history

    def epoch(self, number: int) -> None:
        """Train one epoch, look at the validation part, keep the weights if they are the best."""
        started = time.perf_counter()
        loss, right, rate = self._train_epoch(number)
        line: dict[str, Any] = {
            "repeat": self.data.key[0],
            "fold": self.data.key[1],
            "epoch": number + 1,
            "lr": rate,
            "train_loss": loss,
            "train_accuracy": right,
            "validation_loss": None,
            "validation_accuracy": None,
        }
        if len(self.data.validation):
            line["validation_loss"], line["validation_accuracy"] = self._validate()
        line["seconds"] = round(time.perf_counter() - started, 4)
        earlier = min((_monitored(e, self.config) for e in self.history), default=math.inf)
        line["best"] = not len(self.data.validation) or _monitored(line, self.config) < earlier
        self.history.append(line)
        if line["best"] and len(self.data.validation):  # else the last weights are kept anyway
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.on_epoch(line)

    def _train_epoch(self, number: int) -> tuple[float, float, float]:
        self.model.train()
        order = rng(self.seed, "order", *self.data.key, number).permutation(self.data.train)
        batches = cut(order, self.config.batch, self.ranks.size)
        monitored = [_monitored(line, self.config) for line in self.history]
        total, weight, right, rate = 0.0, 0.0, 0.0, 0.0
        with torch.random.fork_rng(devices=[]):
            mine = () if self.ranks.first else (self.ranks.rank,)
            torch.manual_seed(torch_seed(self.seed, "dropout", *self.data.key, number, *mine))
            for step, batch in enumerate(self._load(batches, self.config.view_of(number))):
                rate = set_rate(
                    self.optimizer, self.config, number + step / len(batches), monitored
                )
                loss, hits = self.step(batch)
                total += loss * batch.counts
                weight += batch.counts
                right += hits
        total, weight, right = self.ranks.sum(total, weight, right)
        return total / weight if weight else 0.0, right / len(order), rate

    def step(self, batch: Batch) -> tuple[float, int]:
        """One optimiser step.

        Returns:
            The share's (weighted) mean loss and the number of its images classified rightly.

        Raises:
            InputError: the loss is not finite.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            scores = self.together(batch.features)
        loss = self.loss(scores, batch.labels)
        self._refuse_infinite("training", loss)
        self.optimizer.zero_grad(set_to_none=True)
        (loss * batch.share).backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        return float(loss.detach()), correct(scores, batch.labels)

    def _validate(self) -> tuple[float | None, float]:
        """Return loss and accuracy; no loss where all images have the weight 0."""
        self.model.eval()
        total, weight, right = 0.0, 0.0, 0.0
        batches = cut(self.data.validation, _EVALUATION_BATCH, self.ranks.size)
        with torch.inference_mode():
            for batch in self._load(batches, 0):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                    scores = self.model(batch.features)
                loss = self.loss(scores, batch.labels)
                self._refuse_infinite("validation", loss)
                total += float(loss) * batch.counts
                weight += batch.counts
                right += correct(scores, batch.labels)
        total, weight, right = self.ranks.sum(total, weight, right)
        return total / weight if weight else None, right / len(self.data.validation)

    def _refuse_infinite(self, part: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise InputError(
                f"The {part} loss became {loss.item()} in epoch {len(self.history) + 1}.",
                fix="lower training.lr, or set training.clip = 1.0.",
            )

    def _load(self, batches: list[NDArray[np.int64]], view: View) -> Iterator[Batch]:
        # Of a validation part that is smaller than their number, some processes have nothing.
        wholes = [rows for rows in batches if len(self.ranks.share(rows))]
        loaded = load(self.data.table, [self.ranks.share(rows) for rows in wholes], view)
        for whole, (rows, features) in zip(wholes, loaded, strict=True):
            labels = self.data.labels[rows]
            counts = self.loss.weight(labels)
            yield Batch(
                features.to(self.device),
                torch.from_numpy(labels).to(self.device),
                counts,
                self._share(counts, whole),
            )

    def _share(self, counts: float, whole: NDArray[np.int64]) -> float:
        """Return what turns a mean of shares' gradients into the gradient of the batch's mean."""
        if self.ranks.size == 1:
            return 1.0
        total = self.loss.weight(self.data.labels[whole])
        return self.ranks.size * counts / total if total else 0.0

    def _out_of_patience(self) -> bool:
        if not self.config.patience or not len(self.data.validation) or not self.history:
            return False
        last_best = max(i for i, line in enumerate(self.history) if line["best"])
        return len(self.history) - 1 - last_best >= self.config.patience

    def _state(self) -> Checkpoint:
        state = self.model.state_dict()
        return Checkpoint(
            len(self.history), state, self.optimizer.state_dict(), self.best, self.history
        )

    def _resume(self, saved: Checkpoint | None) -> None:
        if saved is not None:
            self.model.load_state_dict(saved.model)
            self.optimizer.load_state_dict(saved.optimizer)
            self.best, self.history = saved.best, saved.history


def _monitored(line: dict[str, Any], config: TrainingConfig) -> float:
    """Return the monitored value, smaller is better; the training loss without validation."""
    value = line[config.monitor]
    if value is None:
        return float(line["train_loss"])
    return -float(value) if config.monitor == "validation_accuracy" else float(value)


def predict(
    model: Trainable,
    table: Table,
    rows: NDArray[np.int64],
    views: tuple[View, ...],
    output: str,
) -> NDArray[np.float64]:
    """Return class probabilities averaged over test-time views, float64 [len(rows), k]."""
    device = device_for()
    model = model.to(device).eval()
    total: NDArray[np.float64] | None = None
    for view in views:
        parts = []
        with torch.inference_mode():
            for _, features in load(table, cut(rows, _EVALUATION_BATCH), view):
                parts.append(probabilities(model(features.to(device)), output).cpu().numpy())
        found = np.concatenate(parts)
        total = found if total is None else total + found
    assert total is not None
    mean: NDArray[np.float64] = total / total.sum(axis=1, keepdims=True)
    return mean
