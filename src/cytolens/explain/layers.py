"""Open a network at a layer: what lies below gives a grid of features, what lies above scores.

A layer is a node of the network's graph where exactly one tensor is alive and has a place for
each part of the image. So no hook is needed, and no gradient flows below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.models.cut import cut_points, halve, operations, trace

Form = Literal["planes", "channels last", "tokens"]


@dataclass(frozen=True)
class Layer:
    """A place where a network can be opened.

    Attributes:
        name: of the node.
        position: among the operations of the graph.
        form: "planes" [N, C, h, w], "channels last" [N, h, w, C] or "tokens" [N, p + h·w, C].
        grid: h and w.
        prefix: p, tokens that stand for no place (a class token); else 0.
    """

    name: str
    position: int
    form: Form
    grid: tuple[int, int]
    prefix: int = 0

    def planes(self, features: Tensor) -> Tensor:
        """Return features, or their gradients, as [N, C, h, w]."""
        if self.form == "planes":
            return features
        if self.form == "channels last":
            return features.permute(0, 3, 1, 2)
        places = features[:, self.prefix :]  # [N, h·w, C]
        return places.transpose(1, 2).reshape(len(places), -1, *self.grid)

    def with_planes(self, features: Tensor, planes: Tensor) -> Tensor:
        """Return `features` with its places replaced by `planes` [N, C, h, w]."""
        if self.form == "planes":
            return planes
        if self.form == "channels last":
            return planes.permute(0, 2, 3, 1)
        places = planes.flatten(2).transpose(1, 2)
        return torch.cat([features[:, : self.prefix], places], dim=1)


@dataclass(frozen=True)
class Opened:
    """A network in two parts: `upper(lower(pixels))` are its class scores."""

    layer: Layer
    lower: nn.Module
    upper: Callable[[Tensor], Tensor]

    def features(self, pixels: Tensor) -> Tensor:
        """Return the layer's output for pixels [N, H, W, 3], without a graph behind it."""
        with torch.no_grad():
            features: Tensor = self.lower(pixels)
        return features

    def gradients(self, features: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
        """Return d value / d features, of the shape of `features`.

        Args:
            value: class scores [N, k] -> [N].

        Raises:
            InputError: gradients that are not finite.
        """
        with torch.enable_grad():
            inside = features.detach().requires_grad_()
            (found,) = torch.autograd.grad(value(self.upper(inside)).sum(), inside)
        if not torch.isfinite(found).all():
            raise InputError(
                f"The gradients at {self.layer.name} are not finite.",
                fix="look at the model's weights, or choose a method without gradients.",
            )
        return found


def open_network(whole: nn.Module, size: tuple[int, int], name: str = "auto") -> Opened:
    """Open a network at a layer.

    Args:
        whole: pixels [N, H, W, 3] -> class scores, in inference mode, without trained parameters.
        size: height and width of the pixels.
        name: of a layer; "auto": the last one whose every place has a say in the scores (in a
            transformer with a class token that is the input of the last block).

    Raises:
        InputError: there is no such layer, or none at all with spatial extent.
    """
    traced = trace(whole)
    if traced is None:
        raise InputError(
            "This network cannot be opened inside: its control flow depends on the input.",
            fix="choose a method that looks at the outside alone: lime, occlusion or rise.",
        )
    layers = spatial_layers(traced, size)
    if not layers:
        raise InputError(
            "No layer of this network has spatial extent: nothing can be mapped onto the image.",
            fix="choose a method that looks at the outside alone: lime, occlusion or rise.",
        )
    if name == "auto":
        return next(
            (made for layer in reversed(layers) if _heard(made := _open(traced, layer), size)),
            _open(traced, layers[-1]),
        )
    found = [layer for layer in layers if layer.name == name]
    if not found:
        names = [layer.name for layer in layers]
        raise InputError(
            f"The network cannot be opened at {name!r}{did_you_mean(name, names)}.",
            rows=[f"{layer.name}: {layer.grid[0]} x {layer.grid[1]}" for layer in reversed(layers)],
            expected="auto, or a layer with spatial extent and one tensor alive (last ones first)",
        )
    return _open(traced, found[0])


def spatial_layers(traced: GraphModule, size: tuple[int, int]) -> list[Layer]:
    """Return the places where a traced network can be opened, in order."""
    nodes = operations(traced)
    shapes = _Shapes(traced)
    with torch.inference_mode():
        shapes.run(torch.zeros(1, *size, 3, dtype=torch.uint8))
    found: list[Layer] = []
    for position in cut_points(nodes)[:-1]:
        if not found and halve(traced, position + 1).lower is None:
            continue  # still the pixels: no weights below
        node = nodes[position]
        layer = _layer(node.name, position, shapes.found.get(node, ()), size)
        if layer is not None:
            found.append(layer)
    return found


def _layer(name: str, position: int, shape: tuple[int, ...], size: tuple[int, int]) -> Layer | None:
    """Tell from its shape [1, …] how a tensor lies over an image; None where it does not."""
    if len(shape) == 4:
        _, first, second, last = shape
        # Height before width, as in the image; channels are no part of its proportions.
        for form, grid in (("planes", (second, last)), ("channels last", (first, second))):
            if min(grid) > 1 and _alike(grid, size):
                return Layer(name, position, form, grid)  # type: ignore[arg-type]
    if len(shape) == 3:
        for prefix in range(9):  # class token, distillation token, registers
            places = shape[1] - prefix
            rows = round(math.sqrt(max(0, places) * size[0] / size[1]))
            if rows > 1 and places % rows == 0 and _alike((rows, places // rows), size):
                return Layer(name, position, "tokens", (rows, places // rows), prefix)
    return None


def _alike(grid: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a grid has the image's proportions, up to the rounding of each side by one."""
    step = max(size[0] / grid[0], size[1] / grid[1])
    return all(abs(side - length / step) <= 1 for side, length in zip(grid, size, strict=True))


class _Shapes(Interpreter):
    """Runs a graph and notes the shape of each tensor."""

    def __init__(self, traced: GraphModule) -> None:
        super().__init__(traced)
        self.found: dict[Node, tuple[int, ...]] = {}

    def run_node(self, n: Node) -> Any:
        out = super().run_node(n)
        if isinstance(out, Tensor):
            self.found[n] = tuple(out.shape)
        return out


def _open(traced: GraphModule, layer: Layer) -> Opened:
    halves = halve(traced, layer.position + 1)
    assert halves.lower is not None and halves.upper is not None
    return Opened(layer, halves.lower.eval(), halves.upper.eval())


def _heard(opened: Opened, size: tuple[int, int]) -> bool:
    """Whether every place of a layer can change the scores."""
    pixels = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0)) * 255
    features = opened.features(pixels)
    # Random features: those of a real image may be stopped by a rectifier.
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    found = opened.gradients(noise, lambda scores: (scores * scores).sum(1))
    return bool((opened.layer.planes(found).abs().sum(1) > 0).float().mean() > 0.9)
