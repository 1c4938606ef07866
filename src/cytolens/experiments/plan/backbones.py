"""Which backbones a plan may try: those whose weights are found without the network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cytolens.core.errors import InputError
from cytolens.models.backbones import PAPER_BACKBONES
from cytolens.models.weights import TINY, Weights, at_hand

PREFERRED = "mobilenetv2_100"  # of the shipped recipes


@dataclass(frozen=True)
class Backbones:
    """What is at hand.

    Attributes:
        names: the first one is the one to start from; `cytolens_tiny` is among them only where
            there is nothing else.
        notes: what a reader must know.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def backbones_at_hand() -> Backbones:
    """Look in the weights folder and in the hub's cache; the smallest file comes first.

    The backbone of the shipped recipes leads where it is at hand.
    """
    found: list[Weights] = []
    notes: list[str] = []
    for name in dict.fromkeys([PREFERRED, *_in_folder(), *PAPER_BACKBONES.values()]):
        try:
            if weights := at_hand(name):
                found.append(weights)
        except InputError as error:
            notes.append(f"weights of {name} are not used: {error.what}")
    found = [weights for weights in found if weights.backbone != TINY]
    found.sort(key=lambda w: (w.backbone != PREFERRED, w.path.stat().st_size if w.path else 0))
    names = tuple(weights.backbone for weights in found)
    if PREFERRED not in names:
        stand_in = names[0] if names else TINY
        notes.append(f"weights of {PREFERRED} are not at hand: {stand_in} stands in")
    return Backbones(names or (TINY,), tuple(notes))


def _in_folder() -> list[str]:
    folder = os.environ.get("CYTOLENS_WEIGHTS")
    if not folder:
        return []
    return sorted(path.stem for path in Path(folder).expanduser().glob("*.safetensors"))
