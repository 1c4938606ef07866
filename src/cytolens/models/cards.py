"""The card beside a weight file: it decides preprocessing, never a guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from cytolens.core.config import from_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json


@dataclass(frozen=True)
class Card:
    """What must be known to use a weight file.

    Attributes:
        backbone: whose weights they are, as timm names it.
        input_size: height and width in pixels the weights were trained at.
        mean, std: R, G, B statistics the input is normalised by, after division by 255.
        batch_norm: "frozen" when the running statistics must not be updated.
        create: arguments of the network's constructor (such as `pad_type = "same"`).
        sha256: of the weight file; a file that does not match is refused ("": not checked).
        licence: of the weights, as their makers state it.
        source: where the weights come from, in words.
    """

    backbone: str
    input_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    batch_norm: Literal["frozen", "trainable"] = "trainable"
    create: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    licence: str = "unknown"
    source: str = "unknown"


def shipped_cards() -> dict[str, Path]:
    """Return the cards that ship with the package, by backbone."""
    folder = Path(str(files("cytolens.models"))) / "cards"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        InputError: missing, not JSON, or with unknown or missing keys.
    """
    return from_dict(Card, read_json(path, "weight card"), str(path))


def shipped_card(name: str) -> Card | None:
    """Return the card that ships with the package under this backbone name, if there is one."""
    path = shipped_cards().get(name)
    return read_card(path) if path else None


def card_for(weights: Path, backbone: str, sha256: str) -> Card:
    """Return the card of a weight file: beside it, else a shipped one with the same SHA-256.

    Raises:
        InputError: neither exists, or the card is of another file or another backbone.
    """
    beside = weights.with_suffix(".json")
    card = read_card(beside) if beside.is_file() else shipped_card(backbone)
    if card is None or (not beside.is_file() and card.sha256 != sha256):
        raise InputError(
            f"No card says how {weights} wants its input.",
            expected=f"{beside.name} beside it: backbone, input_size, mean, std, batch_norm, "
            "create, sha256, licence, source",
            fix="write the card; docs/how-to/weights.md shows one.",
        )
    if card.sha256 and card.sha256 != sha256:
        raise InputError(
            f"{weights} is not the file its card describes (SHA-256 {sha256[:12]}…).",
            expected=f"SHA-256 {card.sha256[:12]}…",
            fix="fetch the file again; it may be damaged.",
        )
    if card.backbone != backbone:
        raise InputError(
            f"{weights} holds weights of {card.backbone}, not of {backbone}.",
            fix=f"set model.backbone = {card.backbone!r}.",
        )
    return card
