"""The loss over class scores: by name, with class weights and the expected cost of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cytolens.core.errors import InputError
from cytolens.training.config import TrainingConfig
from cytolens.training.cost.config import CostConfig
from cytolens.training.cost.matrix import cost_matrix
from cytolens.training.cost.weights import class_weights

_TINY = 1e-12  # a batch whose images all have weight 0 has the loss 0


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


@dataclass(frozen=True)
class Loss:
    """The loss of one fold: Σ w_i l_i / Σ w_i over a batch, w_i the weight of image i's class.

    l_i is the named loss of image i plus, with costs, its expected cost Σ_j p_j C[y, j]: what the
    decisions would cost if they were drawn from the predicted probabilities.

    Attributes:
        config: names the loss and its label smoothing.
        output: "softmax" or "sigmoid".
        weights: float32 [k] of the classes; None: all images count the same.
        costs: float32 [k, k], already multiplied by `cost.loss_weight`; None: no such term.
    """

    config: TrainingConfig
    output: str
    weights: Tensor | None = None
    costs: Tensor | None = None

    def to(self, device: torch.device) -> Loss:
        """Return the same loss with its tensors on `device`."""
        weights = None if self.weights is None else self.weights.to(device)
        costs = None if self.costs is None else self.costs.to(device)
        return Loss(self.config, self.output, weights, costs)

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted mean of a batch.

        Args:
            scores: float [N, k] class scores, or [N, 1] for a sigmoid output.
            labels: int64 [N].
        """
        scores = scores.float()
        each = self._each(scores, labels)  # [N]
        if self.costs is not None:
            each = each + _expected_costs(scores, labels, self.costs, self.output)
        if self.weights is None:
            return each.mean()
        weights = self.weights[labels]  # [N]
        return (weights * each).sum() / weights.sum().clamp_min(_TINY)

    def weight(self, labels: NDArray[np.int64]) -> float:
        """Return Σ w_i of a batch: what its mean counts in the mean of several batches."""
        if self.weights is None:
            return float(len(labels))
        return float(self.weights.cpu()[torch.from_numpy(labels)].sum())

    def _each(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the named loss of each image, float32 [N]."""
        smoothing = self.config.label_smoothing
        if self.output == "sigmoid":
            target = labels.float()  # [N]
            if self.config.loss == "mse":
                return (scores[:, 0].sigmoid() - target).square()
            smooth = target * (1 - smoothing) + smoothing / 2
            return functional.binary_cross_entropy_with_logits(
                scores[:, 0], smooth, reduction="none"
            )
        if self.config.loss == "mse":
            one_hot = functional.one_hot(labels, scores.shape[1]).float()  # [N, k]
            return (scores.softmax(dim=1) - one_hot).square().mean(dim=1)
        return functional.cross_entropy(scores, labels, label_smoothing=smoothing, reduction="none")


def _expected_costs(scores: Tensor, labels: Tensor, costs: Tensor, output: str) -> Tensor:
    """Return Σ_j p_j C[y, j] of each image, float32 [N]."""
    if output == "sigmoid":
        positive = scores[:, :1].sigmoid()
        chances = torch.cat([1 - positive, positive], dim=1)  # [N, 2]
    else:
        chances = scores.softmax(dim=1)  # [N, k]
    return (chances * costs[labels]).sum(dim=1)


def fold_loss(
    config: TrainingConfig,
    cost: CostConfig,
    output: str,
    labels: NDArray[np.int64],
    classes: Sequence[str],
) -> Loss:
    """Return the loss of a fold; weights and costs belong to the cost-sensitive regime alone.

    Args:
        labels: int64 [n], of the fold's training part.
        classes: the k names.

    Raises:
        InputError: class weights or a cost matrix that do not fit the classes.
    """
    if config.regime != "cost_sensitive":
        return Loss(config, output)
    weights = class_weights(cost, labels, classes)
    costs = None
    if cost.matrix != "none" and cost.loss_weight:
        costs = torch.from_numpy(cost.loss_weight * cost_matrix(cost, classes)).float()
    return Loss(config, output, None if weights is None else torch.tensor(weights).float(), costs)


def correct(scores: Tensor, labels: Tensor) -> int:
    """Return how many of a batch are classified rightly."""
    with torch.no_grad():
        if scores.shape[1] == 1:
            return int(((scores[:, 0] > 0).long() == labels).sum())
        return int((scores.argmax(dim=1) == labels).sum())
