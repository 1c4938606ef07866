"""The methods that were asked for, with their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from cytolens.core.config import assign, from_dict
from cytolens.core.errors import InputError
from cytolens.explain import METHODS, Method

DEFAULT_METHODS = ("grad_cam", "grad_cam_plus_plus", "score_cam", "layer_cam", "lime")
EVERY = "all"  # names every registered method


def create_methods(
    names: Sequence[str] = DEFAULT_METHODS,
    settings: Sequence[str] = (),
    *,
    layer: str | None = None,
    seed: int = 0,
) -> list[Method]:
    """Return the methods of some names, each once, in that order.

    Args:
        names: of registered methods; "all" stands for every one of them.
        settings: `--set` texts, such as "lime.samples=500".
        layer: of the methods that open the network; None: each one's own.
        seed: of the methods that draw at random.

    Raises:
        InputError: an unknown method or setting, or one without effect.
    """
    every = [METHODS.names() if name == EVERY else (name,) for name in names]
    chosen = {name: METHODS.get(name) for group in every for name in group}
    tables = _tables(settings, chosen)
    made = []
    for name, cls in chosen.items():
        table: dict[str, Any] = {"seed": seed} if cls.seeded else {}
        if layer is not None and _opens(cls):
            table["layer"] = layer
        made.append(_create(cls, table, tables.get(name, {})))
    if layer is not None and not any(map(_opens, chosen.values())):
        raise InputError(
            f"--layer {layer} has no effect: {', '.join(chosen)} look at the network from outside.",
            fix="leave it out, or choose a method that opens the network, such as grad_cam.",
        )
    return made


def _tables(settings: Sequence[str], chosen: dict[str, type[Method]]) -> dict[str, Any]:
    """Return {method: its settings}; refuse those of methods that are not asked for."""
    tables: dict[str, Any] = {}
    for setting in settings:
        assign(tables, setting)
    for name in tables:
        METHODS.get(name)
        if name not in chosen:
            raise InputError(
                f"Settings of {name} have no effect: it is not among the methods.",
                rows=list(chosen),
                fix=f"add --method {name}, or leave them out.",
            )
    return tables


def _create(cls: type[Method], usual: dict[str, Any], own: Any) -> Method:
    content = {**usual, **own} if isinstance(own, dict) else own
    try:
        return from_dict(cls, content, cls.name)
    except InputError as error:
        raise InputError(
            error.what,
            rows=error.rows,
            expected=error.expected,
            fix="docs/reference/registries.md lists the settings of each method.",
        ) from error


def _opens(cls: type[Method]) -> bool:
    """Whether a method opens the network at a layer."""
    return any(field.name == "layer" for field in dataclasses.fields(cls))  # type: ignore[arg-type]  # each is a dataclass
