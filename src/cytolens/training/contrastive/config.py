"""What a recipe says about contrastive training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError


@dataclass(frozen=True)
class ContrastiveConfig:
    """The `[contrastive]` table; it takes effect with training.regime = "contrastive".

    Optimiser, weight decay, schedule, warm-up, clipping, views and precision of the encoder are
    those of `[training]`.

    Attributes:
        loss: over the pairs of a batch. "npairs" is contrastive2023's choice.
        temperature: of "supcon", "ntxent" and "npairs": similarities are divided by it.
        margin: of "triplet".
        projection: width of the projection head, which only this stage uses.
        epochs: of the encoder; `[training]` then rules the classifier on the frozen encoder.
        lr: learning rate of the encoder and its projection head.
        batch: images an optimiser step, each in two augmented views where training.views allows.
        images_a_class: a batch holds at least so many images of a class; as many classes as then
            have room share it equally.
    """

    loss: Literal["supcon", "ntxent", "triplet", "npairs"] = "supcon"
    temperature: float = 0.1
    margin: float = 0.2
    projection: int = 128
    epochs: int = 50
    lr: float = 1e-3
    batch: int = 32
    images_a_class: int = 2

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.margin <= 0 or self.lr <= 0:
            raise InputError("temperature, margin and lr must be above 0.")
        if self.projection < 1 or self.epochs < 1:
            raise InputError("projection and epochs must be at least 1.")
        if self.images_a_class < 1 or self.batch < 2 * self.images_a_class:
            raise InputError(
                f"A batch of {self.batch} images has no room for two classes of "
                f"{self.images_a_class}.",
                expected="images_a_class of at least 1, and batch at least twice as large",
            )
