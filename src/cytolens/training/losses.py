"""Losses over class scores, by name."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cytolens.core.errors import InputError
from cytolens.training.config import TrainingConfig


def check_loss(config: TrainingConfig, output: str, classes: int) -> None:
    """Refuse combinations of loss, output and number of classes that mean nothing.

    Raises:
        InputError: sigmoid output or binary cross-entropy without exactly two classes, or a
            binary loss on another output.
    """
    binary = config.loss == "binary_cross_entropy"
    if (output == "sigmoid" or binary) and classes != 2:
        raise InputError(
            f"A sigmoid output has two classes; the data has {classes}.",
            fix='set model.output = "softmax" and training.loss = "cross_entropy", or map the '
            "labels to two classes with data.label_map.",
        )
    if binary != (output == "sigmoid") and config.loss != "mse":
        raise InputError(
            f"The loss {config.loss} does not fit the output {output}.",
            expected="softmax with cross_entropy or mse, sigmoid with binary_cross_entropy or mse",
        )


def loss_of(scores: Tensor, labels: Tensor, config: TrainingConfig, output: str) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        scores: float [N, k] class scores, or [N, 1] for a sigmoid output.
        labels: int64 [N].
    """
    scores = scores.float()
    if output == "sigmoid":
        target = labels.float().unsqueeze(1)  # [N, 1]
        if config.loss == "mse":
            return functional.mse_loss(scores.sigmoid(), target)
        smooth = target * (1 - config.label_smoothing) + config.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(scores, smooth)
    if config.loss == "mse":
        one_hot = functional.one_hot(labels, scores.shape[1]).float()  # [N, k]
        return functional.mse_loss(scores.softmax(dim=1), one_hot)
    return functional.cross_entropy(scores, labels, label_smoothing=config.label_smoothing)


def correct(scores: Tensor, labels: Tensor) -> int:
    """Return how many of a batch are classified rightly."""
    with torch.no_grad():
        if scores.shape[1] == 1:
            return int(((scores[:, 0] > 0).long() == labels).sum())
        return int((scores.argmax(dim=1) == labels).sum())
