"""Optimisers and learning-rate schedules by name."""

from __future__ import annotations

import math
from typing import Any

from torch import optim

from cytolens.models.network import Trainable
from cytolens.training.config import TrainingConfig

_PLATEAU = 3  # epochs


def create_optimizer(model: Trainable, config: TrainingConfig) -> optim.Optimizer:
    """Build the optimiser; head and backbone are two groups with their own learning rates."""
    groups: list[dict[str, Any]] = [
        {"params": list(model.head.parameters()), "scale": 1.0, "weight_decay": config.weight_decay}
    ]
    if model.upper is not None:
        trained = [p for p in model.upper.parameters() if p.requires_grad]
        # Biases and normalisation are not decayed, as is usual.
        for decay, members in (
            (config.weight_decay, [p for p in trained if p.ndim > 1]),
            (0.0, [p for p in trained if p.ndim <= 1]),
        ):
            groups.append({"params": members, "scale": config.backbone_lr, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    for group in groups:
        group["lr"] = config.lr * group["scale"]
    if config.optimizer == "sgd":
        return optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    if config.optimizer == "rmsprop":
        return optim.RMSprop(groups, lr=config.lr)
    if config.optimizer == "adamw":
        return optim.AdamW(groups, lr=config.lr, fused=True)
    return optim.Adam(groups, lr=config.lr, fused=True)


def set_rate(
    optimizer: optim.Optimizer, config: TrainingConfig, epoch: float, monitored: list[float]
) -> float:
    """Set the learning rate at a (fractional) epoch and return the head's.

    Args:
        epoch: epochs done so far, with the fraction of the present one.
        monitored: the monitored value of each finished epoch, smaller is better.
    """
    rate = config.lr * _factor(config, epoch, monitored)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def _factor(config: TrainingConfig, epoch: float, monitored: list[float]) -> float:
    if config.warmup and epoch < config.warmup:
        return (epoch + 0.1) / (config.warmup + 0.1)
    progress = (epoch - config.warmup) / max(1, config.epochs - config.warmup)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if config.schedule == "step":
        return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))
    if config.schedule == "plateau":
        return 0.5 ** _plateaus(monitored)
    return 1.0


def _plateaus(monitored: list[float]) -> int:
    """Count how often three epochs in a row brought nothing better."""
    best, waited, count = math.inf, 0, 0
    for value in monitored:
        if value < best:
            best, waited = value, 0
        else:
            waited += 1
            if waited == _PLATEAU:
                count, waited = count + 1, 0
    return count
