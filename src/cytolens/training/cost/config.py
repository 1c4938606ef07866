"""What a recipe says about the cost of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError


@dataclass(frozen=True)
class CostConfig:
    """The `[cost]` table.

    Attributes:
        class_weights: weights of the classes in the loss of the cost-sensitive regime:
            "balanced" is n / (k · n_c) over the training part, or {class: weight}.
        matrix: cost of each decision, {true: {predicted: cost}} or the name of a registered one;
            "none": every error costs 1. Costs are reported under every regime.
        loss_weight: weight of the expected cost in the loss of the cost-sensitive regime.
        decision: "cheapest" also reports the decision of least expected cost under calibrated
            probabilities.
    """

    class_weights: Literal["balanced", "none"] | dict[str, float] = "balanced"
    matrix: str | dict[str, dict[str, float]] = "none"
    loss_weight: float = 1.0
    decision: Literal["most_probable", "cheapest"] = "most_probable"

    def __post_init__(self) -> None:
        if self.loss_weight < 0:
            raise InputError("cost.loss_weight must not be negative.")
