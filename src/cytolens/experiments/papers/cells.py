"""The experiments of a paper: every model under every regime, each a whole recipe."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cytolens.experiments.papers.paper import (
    Extra,
    Model,
    Paper,
    Protocol,
    Regime,
    Tables,
    load_paper,
    paper_names,
)

BASELINE = "baseline"  # regime of experiments beside the paper's models


@dataclass(frozen=True)
class Cell:
    """One experiment of a paper.

    Attributes:
        name: folder of its run, such as "mobilenetv2-contrastive".
        model, regime: the paper's names.
        needs_weights: whether it transfers from a pretrained network.
        optional: runs when it is asked for.
        datasets: so many data sets it needs.
        tables: that it may set; empty: all of a recipe.
        content: the recipe as plain data.
    """

    paper: str
    name: str
    model: str
    regime: str
    protocol: Protocol
    needs_weights: bool
    optional: bool
    datasets: int
    tables: frozenset[str]
    content: Tables

    @property
    def full_name(self) -> str:
        return f"{self.paper}/{self.name}"

    def on(self, label: str, backbone: str, weights: str, freeze: str | float | None) -> Cell:
        """Return the same experiment on another network.

        Args:
            label: name of the network.
            freeze: `model.freeze` that means the same for it; None: as it is.
        """
        model = {"backbone": backbone, "weights": weights}
        if freeze is not None:
            model["freeze"] = freeze  # type: ignore[assignment]  # a text or a share
        beside = self.regime == BASELINE
        return replace(
            self,
            name=self.name if beside else f"{slug(label)}-{self.regime}",
            model=self.model if beside else label,
            content=merged(self.content, {"model": model}),
        )


def slug(name: str) -> str:
    """Return a name as part of a folder's."""
    return re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")


def merged(*tables: Mapping[str, Any]) -> Tables:
    """Return the tables laid over each other; the last one wins, lists are replaced."""
    result: Tables = {}
    for one in tables:
        for key, value in one.items():
            before = result.get(key)
            if isinstance(value, Mapping) and isinstance(before, Mapping):
                result[key] = merged(before, value)
            else:
                result[key] = copy.deepcopy(value)
    return result


def cells(paper: Paper, protocol: Protocol, *, quick: bool = False) -> list[Cell]:
    """Return all experiments of a paper under a protocol (ensembles apart), in its order."""
    over = paper.published if protocol == "published" else paper.honest
    common = merged(paper.recipe, over)
    hurried = paper.quick if quick else {}
    grid = [
        _on_grid(paper, protocol, model, regime, common, hurried)
        for regime in paper.regime
        for model in paper.model
    ]
    beside = [
        _beside(paper, protocol, extra, common, hurried)
        for extra in paper.extra
        if protocol in extra.protocols
    ]
    return grid + beside


def _on_grid(
    paper: Paper, protocol: Protocol, model: Model, regime: Regime, common: Tables, hurried: Tables
) -> Cell:
    name = f"{slug(model.name)}-{regime.name}"
    about = f"{model.name}, {regime.title}, as {paper.name}."
    content = merged(
        common,
        {"model": {"backbone": model.name, "weights": "imagenet"}},
        model.settings,
        regime.settings,
        hurried,
        regime.quick if hurried else {},
        _names(paper, name, about, protocol),
    )
    return Cell(
        paper=paper.name,
        name=name,
        model=model.name,
        regime=regime.name,
        protocol=protocol,
        needs_weights=True,
        optional=regime.optional,
        datasets=0,
        tables=frozenset(),
        content=content,
    )


def _beside(
    paper: Paper, protocol: Protocol, extra: Extra, common: Tables, hurried: Tables
) -> Cell:
    kept = set(extra.inherits)

    def inherited(tables: Tables) -> Tables:
        return {key: value for key, value in tables.items() if not kept or key in kept}

    tables = frozenset(kept | extra.settings.keys()) if kept else frozenset()
    network = {"model": {"backbone": paper.lead.name, "weights": "imagenet"}}
    content = merged(
        inherited(common),
        network if extra.transfer else {},
        # settings of the lead model hold where its tables are taken over
        paper.lead.settings if extra.transfer and not kept else {},
        extra.settings,
        inherited(hurried),
        extra.quick if hurried else {},
        _names(paper, extra.name, f"{extra.title} ({paper.name}).", protocol),
    )
    return Cell(
        paper=paper.name,
        name=extra.name,
        model=extra.title,
        regime=BASELINE,
        protocol=protocol,
        needs_weights=extra.transfer,
        optional=False,
        datasets=extra.datasets,
        tables=tables,
        content=content,
    )


def _names(paper: Paper, name: str, about: str, protocol: Protocol) -> Tables:
    return {"name": f"{paper.name}/{name}", "about": about, "protocol": protocol}


def shipped_cells() -> dict[str, Cell]:
    """Return the experiments of all papers under the honest protocol, by full name."""
    found = [cell for name in paper_names() for cell in cells(load_paper(name), "honest")]
    return {cell.full_name: cell for cell in found}
