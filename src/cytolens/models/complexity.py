"""What a recipe's network weighs: parameters, multiply-adds, megabytes, milliseconds a prediction.

An experiment asks with the parts of its recipe, and hands in the engine of this machine (this
room lies below the engines)::

    engine = choose_engine(recipe.features.engine)
    complexity(recipe.model, weights, size, len(classes), engine=ENGINES.get(engine),
               engine_name=engine)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cytolens.models.config import ModelConfig
from cytolens.models.network import build_backbone, build_trainable
from cytolens.models.weights import Weights

_BYTES = 4  # of a float32


class Runs(Protocol):
    """An engine that holds a network (see `cytolens.features.engines.Engine`)."""

    def run(self, batches: Iterable[NDArray[np.uint8]]) -> Iterable[Any]:
        """uint8 [n, H, W, 3] batches -> one array a batch."""
        ...


MakeEngine = Callable[[nn.Module, tuple[int, int], Literal["f32"]], Runs]


@dataclass(frozen=True)
class Complexity:
    """What it takes to keep a network and to ask it about one image.

    Attributes:
        parameters: that a prediction uses. The classifier that came with the backbone is left
            out, the recipe's head counted in; statistics of batch norm are no parameters.
        trained_parameters: those of them that the recipe trains. The projection head of a
            contrastive regime is thrown away after training and not counted.
        multiply_adds: of one image, in convolutions and matrix products (half of what
            `torch.utils.flop_counter` counts).
        megabytes: of the parameters as float32, 10^6 bytes each.
        milliseconds: median time of one image, from resized pixels to class scores, asked for
            one at a time.
        engine: what measured them.
    """

    parameters: int
    trained_parameters: int
    multiply_adds: int
    megabytes: float
    milliseconds: float
    engine: str


def complexity(
    config: ModelConfig,
    weights: Weights,
    size: tuple[int, int],
    classes: int,
    *,
    engine: MakeEngine | None = None,
    engine_name: str = "torch",
    seed: int = 0,
    repeats: int = 15,
) -> Complexity:
    """Count and time the network of a recipe.

    Args:
        config: the `[model]` table.
        weights: the weights that the recipe resolves to.
        size: height and width of the input in pixels.
        classes: number of classes.
        engine: makes the engine of the whole network; None runs plain torch.
        engine_name: how the report names it.
        seed: of weights that are drawn.
        repeats: predictions timed, after one that is not.

    Raises:
        InputError: as `build_backbone`.
    """
    backbone = build_backbone(config, weights, seed)
    pixels = torch.zeros(1, *size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        shape = pixels.shape if backbone.lower is None else backbone.lower(pixels).shape
    model = build_trainable(config, weights, lambda: backbone, tuple(shape[1:]), classes, seed)
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    whole = nn.Sequential(backbone.body, model.head).eval()
    used, operations = _used(whole, pixels)
    count = sum(parameter.numel() for parameter in used)
    return Complexity(
        parameters=count,
        trained_parameters=sum(p.numel() for p in used if id(p) in trained),
        multiply_adds=operations,
        megabytes=count * _BYTES / 1e6,
        milliseconds=1000 * _seconds(whole, size, engine, repeats),
        engine=engine_name if engine is not None else "torch",
    )


def _used(whole: nn.Module, pixels: Tensor) -> tuple[list[nn.Parameter], int]:
    """Return the parameters that the scores depend on, and the multiply-adds of the way there."""
    from torch.utils.flop_counter import FlopCounterMode

    parameters = list(whole.parameters())
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        with FlopCounterMode(display=False) as counter:
            scores = whole(pixels)
        gradients = torch.autograd.grad(scores.sum(), parameters, allow_unused=True)
    for parameter, needed in zip(parameters, before, strict=True):
        parameter.requires_grad_(needed)
    used = [p for p, g in zip(parameters, gradients, strict=True) if g is not None]
    return used, counter.get_total_flops() // 2


def _seconds(
    whole: nn.Module, size: tuple[int, int], engine: MakeEngine | None, repeats: int
) -> float:
    """Return the median time of a prediction of one image."""
    image = np.zeros((1, *size, 3), np.uint8)
    if engine is None:

        def predict() -> None:
            with torch.inference_mode():
                whole(torch.from_numpy(image))
    else:
        made = engine(whole, size, "f32")

        def predict() -> None:
            list(made.run([image]))

    predict()
    times = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        predict()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
