"""Which networks can stand for a paper's: its own where their weights are at hand, or others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.experiments.papers.paper import Model, Paper
from cytolens.models.backbones import canonical
from cytolens.models.weights import TINY, resolve_weights

# Small networks whose weights are easily had, by the name a reader knows.
STAND_INS = {"MobileNetV2": "mobilenetv2_100", "SqueezeNet": "squeezenet1_1"}


@dataclass(frozen=True)
class Choice:
    """A network for the cells of a model.

    Attributes:
        model: the paper's model whose cells run.
        label: name of the network that runs.
        backbone, weights: for the recipe.
        freeze: `model.freeze` in its place; None: as the paper's.
        stands_in: whether it is not the paper's network.
        why_not: why it cannot run; "" where it can.
    """

    model: Model
    label: str
    backbone: str
    weights: str = "imagenet"
    freeze: str | float | None = None
    stands_in: bool = False
    why_not: str = ""


def choose_networks(
    paper: Paper,
    models: Sequence[str] = (),
    *,
    weights: str = "imagenet",
    stand_in: bool = False,
    seed: int = 0,
) -> list[Choice]:
    """Return a choice for each model, and stand-ins where the paper's networks cannot be had.

    Args:
        models: names of the paper's models to keep; empty: all.
        weights: "imagenet", or "random": the paper's networks with nothing to transfer.
        stand_in: add stand-ins even where a network of the paper can be had.

    Raises:
        InputError: a model that the paper does not have, or other weights.
    """
    if weights not in ("imagenet", "random"):
        raise InputError(
            f"A paper is reproduced with ImageNet weights or with random ones, not {weights!r}.",
            expected="imagenet or random",
        )
    asked = asked_models(paper, models)
    chosen = [_own(model, weights, seed) for model in asked]
    if weights == "random" or (any(not c.why_not for c in chosen) and not stand_in):
        return chosen
    running = {canonical(c.backbone) for c in chosen if not c.why_not}
    lead = paper.lead if paper.lead in asked else asked[0]
    return [*chosen, *_stand_ins(lead, running, seed)]


def asked_models(paper: Paper, models: Sequence[str]) -> list[Model]:
    """Return the paper's models, or those of some names (case makes no difference)."""
    known = {model.name.casefold(): model for model in paper.model}
    if unknown := [name for name in models if name.casefold() not in known]:
        names = [model.name for model in paper.model]
        raise InputError(
            f"{paper.name} has no model {unknown[0]!r}{did_you_mean(unknown[0], names)}.",
            expected=f"some of {', '.join(names)}",
        )
    wanted = {name.casefold() for name in models} or known.keys()
    return [model for key, model in known.items() if key in wanted]


def _own(model: Model, weights: str, seed: int) -> Choice:
    try:
        resolve_weights(canonical(model.name), weights, seed)
    except InputError as error:
        return Choice(model, model.name, model.name, weights, why_not=error.what)
    return Choice(model, model.name, model.name, weights)


def _stand_ins(lead: Model, running: set[str], seed: int) -> list[Choice]:
    share = None
    if lead.convolutions_frozen is not None:
        frozen, convolutions = lead.convolutions_frozen
        share = round(frozen / convolutions, 3)
    found = []
    for label, backbone in STAND_INS.items():
        if backbone in running:
            continue
        try:
            resolve_weights(backbone, "imagenet", seed)
        except InputError:
            continue
        found.append(Choice(lead, label, backbone, "imagenet", share, stands_in=True))
    if found or running:
        return found
    return [Choice(lead, TINY, TINY, "auto", share, stands_in=True)]


def say_networks(choices: Sequence[Choice]) -> list[str]:
    """Return what a reader must know of the networks, in sentences."""
    said = []
    if absent := [c.label for c in choices if c.why_not]:
        said.append(f"No weights are at hand of {', '.join(absent)}: these cells did not run.")
    for c in choices:
        if not c.stands_in:
            continue
        frozen = "" if c.freeze is None else f" with the same share of frozen layers ({c.freeze})"
        said.append(f"{c.label} stands in for {c.model.name}{frozen}.")
        if c.backbone == TINY:
            said.append(
                f"No ImageNet weights are at hand at all: {TINY} knows synthetic smears alone, "
                "and its numbers say nothing about the paper's networks."
            )
    if any(c.weights == "random" for c in choices):
        said.append("The networks start from random weights: nothing is transferred.")
    return said
