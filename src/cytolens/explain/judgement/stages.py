"""The parts of a network, from its head down to its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cytolens.explain.subject import Whole
from cytolens.models.cut import operations, trace

MOST = 6  # stages
_DEEPEST = 3  # levels of names that tell blocks apart


@dataclass(frozen=True)
class Stage:
    """A part that is randomised at once.

    Attributes:
        name: "head", a block, or the first and last of several ("blocks.5 … conv_head").
        parameters: names in `Whole`.
    """

    name: str
    parameters: tuple[str, ...]


def stages(whole: Whole, most: int = MOST) -> list[Stage]:
    """Divide what the scores are made of, from the head downwards, into at most `most` stages.

    The head is one; the blocks of the backbone, in the order in which they run, are joined to at
    most `most` - 1 of about the same number of tensors. A classifier that came with the backbone
    and is not used belongs to none.
    """
    used = _in_order(whole)
    head = tuple(name for name in used if name.startswith("head."))
    body = [name for name in used if not name.startswith("head.")]
    found = [Stage("head", head)] if head else []
    blocks = _blocks(body, most - 1)
    return found + [_joined(group) for group in reversed(_grouped(blocks, most - 1))]


def _in_order(whole: Whole) -> list[str]:
    """Return the parameters in the order of their first use; as registered if untraceable."""
    names = [name for name, _ in whole.named_parameters()]
    traced = trace(whole)
    if traced is None:
        return names
    found: dict[str, None] = {}
    for node in operations(traced):
        target = str(node.target)
        if node.op in ("call_module", "get_attr"):
            own = [n for n in names if n == target or n.startswith(f"{target}.")]
            found.update(dict.fromkeys(own))
    return list(found)


def _blocks(names: Sequence[str], wanted: int) -> dict[str, list[str]]:
    """Gather parameters by the first parts of their names.

    A block that holds more than its share of the tensors is told apart by one part more.
    """
    blocks = _by_name(names, 1)
    for depth in range(2, _DEEPEST + 1):
        finer: dict[str, list[str]] = {}
        for block, own in blocks.items():
            large = len(own) > len(names) / wanted
            finer.update(_by_name(own, depth) if large else {block: own})
        blocks = finer
    return blocks


def _by_name(names: Sequence[str], depth: int) -> dict[str, list[str]]:
    blocks: dict[str, list[str]] = {}
    for name in names:
        layer = name.removeprefix("body.").removeprefix("net.").split(".")[:-1]
        blocks.setdefault(".".join(layer[:depth]) or name, []).append(name)
    return blocks


def _grouped(blocks: dict[str, list[str]], most: int) -> list[dict[str, list[str]]]:
    total = sum(map(len, blocks.values()))
    groups: dict[int, dict[str, list[str]]] = {}
    before = 0
    for name, parameters in blocks.items():
        middle = before + len(parameters) / 2
        groups.setdefault(int(most * middle / total), {})[name] = parameters
        before += len(parameters)
    return list(groups.values())


def _joined(group: dict[str, list[str]]) -> Stage:
    first, last = next(iter(group)), list(group)[-1]
    name = first if first == last else f"{first} … {last}"
    return Stage(name, tuple(p for parameters in group.values() for p in parameters))
