"""Cut a network in two at a node where exactly one tensor is alive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.fx import Graph, GraphModule, Node, Tracer
from torch.fx.proxy import TraceError

INPUT = "input"


class _LeafTracer(Tracer):
    """Traces timm networks: modules and functions that timm declares untraceable stay whole."""

    def __init__(self, leaves: tuple[type[nn.Module], ...], functions: tuple[Any, ...]) -> None:
        super().__init__(autowrap_functions=functions)
        self._leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._leaves) or super().is_leaf_module(m, module_qualified_name)


def trace(body: nn.Module) -> GraphModule | None:
    """Return the traced network, or None when its control flow cannot be traced."""
    from timm.layers import get_notrace_functions, get_notrace_modules

    tracer = _LeafTracer(tuple(get_notrace_modules()), tuple(get_notrace_functions()))
    try:
        return GraphModule(body, tracer.trace(body))
    except (TraceError, TypeError):
        return None


@dataclass(frozen=True)
class Halves:
    """A network in two parts that share its modules; `upper(lower(x))` is the network.

    `cut` names the node between them: "input" when nothing can be stored (`lower` is None), and
    the last node when nothing is left above (`upper` is None). `frozen_above` names the modules
    and bare parameters between the cut and the freezing boundary.
    """

    lower: GraphModule | None
    upper: GraphModule | None
    cut: str
    frozen_above: tuple[str, ...]


def operations(traced: GraphModule) -> list[Node]:
    """Return the nodes in execution order, without input and output."""
    return [n for n in traced.graph.nodes if n.op not in ("placeholder", "output")]


def cut_points(nodes: Sequence[Node]) -> list[int]:
    """Return the positions i after which only the tensor of nodes[i] is still needed."""
    position = {node: i for i, node in enumerate(nodes)}
    last_use = [
        max((position.get(user, len(nodes)) for user in node.users), default=i)
        for i, node in enumerate(nodes)
    ]
    points = []
    furthest = -1  # the last use of any tensor before the present one
    for i, node in enumerate(nodes):
        if node.op == "get_attr":
            continue
        if furthest <= i:
            points.append(i)
        furthest = max(furthest, last_use[i])
    return points


def halve(traced: GraphModule, boundary: int) -> Halves:
    """Cut at the last single tensor before `boundary`; what is frozen above it is named."""
    nodes = operations(traced)
    points = [i for i in cut_points(nodes) if i < boundary]
    modules = dict(traced.named_modules())
    # Layer norms and position tables are traced into functions of bare parameters ("get_attr").
    bare = {name for name, _ in traced.named_parameters()}
    frozen = tuple(
        str(n.target)
        for n in nodes[(points[-1] + 1 if points else 0) : boundary]
        if _has_weights([n], modules) or (n.op == "get_attr" and str(n.target) in bare)
    )
    # A cut below the first weight layer would only store normalised pixels.
    if not points or not _has_weights(nodes[: points[-1] + 1], modules):
        return Halves(None, traced, INPUT, frozen)
    cut = nodes[points[-1]]
    if points[-1] == len(nodes) - 1:
        return Halves(traced, None, cut.name, frozen)
    return Halves(
        _part(traced, nodes[: points[-1] + 1], None),
        _part(traced, nodes[points[-1] + 1 :], cut),
        cut.name,
        frozen,
    )


def _has_weights(nodes: Sequence[Node], modules: dict[str, nn.Module]) -> bool:
    called = (modules[str(n.target)] for n in nodes if n.op == "call_module")
    return any(any(True for _ in module.parameters()) for module in called)


def _part(traced: GraphModule, nodes: Sequence[Node], cut: Node | None) -> GraphModule:
    """Copy some nodes into a graph; its input is the network's, or the cut's tensor."""
    graph = Graph()
    start = cut or next(n for n in traced.graph.nodes if n.op == "placeholder")
    copies: dict[Node, Node] = {start: graph.placeholder("features")}

    def copy(node: Node) -> Node:
        if node not in copies:
            assert node.op == "get_attr", f"{node.name} is alive across the cut"
            copies[node] = graph.node_copy(node, copy)
        return copies[node]

    for node in nodes:
        copies[node] = graph.node_copy(node, copy)
    graph.output(copies[nodes[-1]])
    return GraphModule(traced, graph)
