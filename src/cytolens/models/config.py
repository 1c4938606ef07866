"""What a recipe says about the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cytolens.core.errors import InputError


@dataclass(frozen=True)
class ModelConfig:
    """The `[model]` table of a recipe.

    Attributes:
        backbone: a timm name, `hf-hub:…`, a paper's name ("ResNet50V2"), `cytolens_tiny`, or
            `lenet5` or `scratch_cnn`, which are trained from scratch.
        weights: "imagenet", "auto" (falls back to the shipped `cytolens_tiny`, and says so),
            "random", or the path of a safetensors file with its card beside it.
        freeze: "all", "none", a fraction of the weight layers from the input, "node:NAME"
            (a module or graph node, itself included) or "keras:K" (the first K Keras layers).
        batch_norm: "auto" follows the weight's card; "frozen" keeps the running statistics;
            "train" updates them above the freezing boundary.
        head: a registered head.
        pool: how the feature map becomes a vector; "none" keeps the map (heads flatten it).
        width: units of the head's hidden layer, where it has one.
        dropout: share of values the head drops while training.
        noise: standard deviation of the head's Gaussian noise, where it has it.
        output: "softmax" over the classes, or one "sigmoid" unit (two classes only).
    """

    backbone: str = "mobilenetv2_100"
    weights: str = "imagenet"
    freeze: str | float = "all"
    batch_norm: Literal["auto", "frozen", "train"] = "auto"
    head: str = "linear"
    pool: Literal["avg", "max", "none"] = "avg"
    width: int = 256
    dropout: float = 0.2
    noise: float = 0.1
    output: Literal["softmax", "sigmoid"] = "softmax"

    def __post_init__(self) -> None:
        if isinstance(self.freeze, float) and not 0 <= self.freeze <= 1:
            raise InputError(f"freeze = {self.freeze} is not a fraction.", expected="0 … 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout = {self.dropout} is out of range.", expected="0 ≤ p < 1")
        if self.width < 1 or self.noise < 0:
            raise InputError("width must be at least 1, and noise not negative.")
