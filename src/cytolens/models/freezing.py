"""What a recipe's `freeze` means: a boundary in the graph, below which nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.fx import Node

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean

# First K Keras layers frozen -> convolutions frozen (contrastive2023; checked against
# keras.applications 3.15 at 110 px: K = 86 of ResNet50 ends with conv4_block1_2_bn, and so on).
KERAS_CONVOLUTIONS = {
    ("resnet50", 86): 26,
    ("mobilenetv2_100", 100): 34,
    ("densenet169", 249): 70,
    ("vgg16", 13): 9,
    ("vgg19", 17): 12,
}
_WEIGHT_LAYERS = (nn.Conv2d, nn.Linear)


def boundary(
    freeze: str | float, backbone: str, nodes: Sequence[Node], modules: dict[str, nn.Module]
) -> int:
    """Return how many nodes of the graph, from the input, are frozen (0 … len(nodes)).

    A boundary that counts weight layers lies just before the next one, so that a layer's
    normalisation and activation are frozen with it.

    Args:
        freeze: see `ModelConfig.freeze`.
        backbone: canonical name, for the Keras table.
        nodes: the operations of the graph in execution order, without input and output.
        modules: named modules of the traced network.

    Raises:
        InputError: `freeze` means nothing for this network.
    """
    if freeze == "all":
        return len(nodes)
    if freeze == "none":
        return 0
    layers = [
        i
        for i, node in enumerate(nodes)
        if node.op == "call_module" and isinstance(modules[str(node.target)], _WEIGHT_LAYERS)
    ]
    if isinstance(freeze, (int, float)):
        return _after(layers, round(freeze * len(layers)), len(nodes))
    kind, _, name = freeze.partition(":")
    if kind == "keras" and name.isdecimal():
        count = KERAS_CONVOLUTIONS.get((backbone, int(name)))
        if count is None:
            known = [f"{b} keras:{k}" for b, k in KERAS_CONVOLUTIONS]
            raise InputError(
                f"No Keras layer table has entry {name} for {backbone}.",
                expected=", ".join(known),
                fix="use a fraction or node:NAME.",
            )
        return _after(layers, count, len(nodes))
    if kind == "node":
        return _through(name, nodes)
    raise InputError(
        f"freeze = {freeze!r} means nothing.",
        expected='"all", "none", a fraction 0 … 1, "node:NAME" or "keras:K"',
    )


def _after(layers: list[int], count: int, end: int) -> int:
    if count == 0:
        return 0
    return end if count >= len(layers) else layers[count]


def _through(name: str, nodes: Sequence[Node]) -> int:
    """Return the position after the last node called `name` or inside that module."""
    path = f"net.{name}"
    inside = [
        i
        for i, node in enumerate(nodes)
        if node.name in (name, f"net_{name}")
        or str(node.target) == path
        or str(node.target).startswith(f"{path}.")
        or any(str(p) == path for p, _ in node.meta.get("nn_module_stack", {}).values())
    ]
    if not inside:
        names = sorted({str(n.target).removeprefix("net.") for n in nodes if n.op == "call_module"})
        parents = {target.rpartition(".")[0] for target in names} - {""}
        raise InputError(
            f"The network has no node or module {name!r}{did_you_mean(name, [*parents, *names])}.",
            expected="one of " + ", ".join(sorted(parents)[:40]),
        )
    return inside[-1] + 1
