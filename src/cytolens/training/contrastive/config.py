"""What a recipe says about contrastive training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError


@dataclass(frozen=True)
class ContrastiveConfig:
    """The `[contrastive]` table; it takes effect with training.regime = "contrastive".

    Attributes:
        loss: over the pairs of a batch. "npairs" is contrastive2023's choice.
        temperature: of "supcon" and "ntxent".
        margin: of "triplet".
        projection: width of the projection head, which only this stage uses.
        epochs: of the encoder; `[training]` then rules the classifier on the frozen encoder.
        lr: learning rate of the encoder and its projection head.
    """

    loss: Literal["supcon", "ntxent", "triplet", "npairs"] = "supcon"
    temperature: float = 0.1
    margin: float = 0.2
    projection: int = 128
    epochs: int = 50
    lr: float = 1e-3

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.margin <= 0 or self.lr <= 0:
            raise InputError("temperature, margin and lr must be above 0.")
        if self.projection < 1 or self.epochs < 1:
            raise InputError("projection and epochs must be at least 1.")
