"""What a recipe says about training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """The `[training]` table of a recipe.

    Attributes:
        regime: how the network is trained. "finetune" minimises the loss over the classes;
            "cost_sensitive" the same with the class weights and the cost matrix of `[cost]`;
            "contrastive" trains the encoder as `[contrastive]` says, freezes it, and then trains
            the classifier on it (contrastive2023).
        loss: on the output; binary_cross_entropy takes two classes. Mean squared error is
            abualhaija2020's.
        label_smoothing: share of a label's weight that is spread over all classes.
        optimizer: of the trained part.
        lr: learning rate of the head.
        backbone_lr: factor on `lr` for the trained part of the backbone; not for regime
            "contrastive", whose encoder is trained at `contrastive.lr`.
        weight_decay: of the head and of the backbone's weights, not of its biases and norms.
        momentum: of "sgd"; the other optimisers do not use it.
        schedule: of the learning rate over the epochs; "plateau" halves it after three epochs
            without a better monitored value, "step" divides it by 10 at half and three quarters.
        warmup: epochs of linear increase before the schedule.
        clip: largest norm of the gradient (0: not limited).
        epochs: at most so many.
        batch: images an optimiser step.
        patience: epochs without a better monitored value before training stops (0: never).
        monitor: what best weights and early stopping look at, on the validation part.
        choose_on: the part that `monitor` is computed on; "test" is the mistake of choosing by the
            test part, allowed under the published protocol alone.
        keep: "best" keeps the weights of the epoch with the best monitored value, "last" those of
            the last epoch.
        views: augmented views an image; epoch e trains on view 1 + (e mod views). 0 trains on
            the image itself; "epochs" is ordinary online augmentation.
        precision: "auto" is bf16 autocast on a GPU that has it when a part of the backbone is
            trained, else f32. On a CPU bf16 is a choice: it doubled the speed of training a whole
            MobileNetV2 and slowed down training its upper two thirds.
    """

    regime: Literal["finetune", "cost_sensitive", "contrastive"] = "finetune"
    loss: Literal["cross_entropy", "binary_cross_entropy", "mse"] = "cross_entropy"
    label_smoothing: float = 0.0
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = "adam"
    lr: float = 1e-3
    backbone_lr: float = 1.0
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant"
    warmup: int = 0
    clip: float = 0.0
    epochs: int = 50
    batch: int = 32
    patience: int = 0
    monitor: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    choose_on: Literal["validation", "test"] = "validation"
    keep: Literal["best", "last"] = "best"
    views: int | Literal["epochs"] = 0
    precision: Literal["auto", "f32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise InputError("epochs and batch must be at least 1.")
        if self.lr <= 0 or self.backbone_lr < 0 or self.weight_decay < 0 or self.clip < 0:
            raise InputError("lr must be above 0; backbone_lr, weight_decay, clip not below.")
        if not 0 <= self.label_smoothing < 1 or not 0 <= self.momentum < 1:
            raise InputError("label_smoothing and momentum must lie in 0 ≤ x < 1.")
        if self.patience < 0 or self.warmup < 0:
            raise InputError("patience and warmup must not be negative.")
        if isinstance(self.views, int) and self.views < 0:
            raise InputError("views must not be negative.")

    @property
    def view_count(self) -> int:
        """Number of augmented views an image (0: none)."""
        return self.epochs if isinstance(self.views, str) else self.views

    def view_of(self, epoch: int) -> int:
        """Return the view that epoch `epoch` (from 0) trains on."""
        return 1 + epoch % self.view_count if self.view_count else 0
