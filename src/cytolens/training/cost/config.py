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
        matrix: cost of each decision, {true: {predicted: cost}} (1 for errors left out) or the
            name of a registered one; "none": every error costs 1. Costs are reported under every
            regime.
        loss_weight: weight of the expected cost in the loss of the cost-sensitive regime; without
            a matrix there is no such term.
        decision: "cheapest" also reports the decision of least expected cost. A network's
            probabilities are then calibrated by a temperature where the fold has a validation part.
    """

    class_weights: Literal["balanced", "none"] | dict[str, float] = "balanced"
    matrix: str | dict[str, dict[str, float]] = "none"
    loss_weight: float = 1.0
    decision: Literal["most_probable", "cheapest"] = "most_probable"

    def __post_init__(self) -> None:
        if self.loss_weight < 0:
            raise InputError("cost.loss_weight must not be negative.")
        if isinstance(self.class_weights, dict):
            negative = [f"{name}: {w:g}" for name, w in self.class_weights.items() if w < 0]
            if negative or not any(self.class_weights.values()):
                raise InputError(
                    "cost.class_weights must not be negative, and not all 0.", rows=negative
                )
