"""Find weights: given path, weights folder, hub cache, hub; fallbacks are said."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cytolens.core.errors import InputError
from cytolens.core.files import sha256_file
from cytolens.models.cards import Card, card_for, shipped_card

if TYPE_CHECKING:
    import torch

TINY = "cytolens_tiny"
_HUB_HOST = "huggingface.co"
_HUB_SECONDS = 3.0


@dataclass(frozen=True)
class Weights:
    """Resolved weights of a backbone.

    Attributes:
        backbone: the backbone they belong to (another one than asked for after a fallback).
        path: safetensors file, or None for random weights.
        identity: SHA-256 of the file, or "random-SEED".
        note: what a reader must know (a fallback, random weights), or "".
    """

    backbone: str
    path: Path | None
    card: Card
    identity: str
    note: str = ""


def resolve_weights(backbone: str, weights: str, seed: int = 0) -> Weights:
    """Find the weights a recipe asks for.

    Args:
        backbone: canonical name (see `backbones.canonical`).
        weights: "imagenet", "auto", "random" or a path.

    Raises:
        InputError: nothing is reachable; the message names every place that was tried.
    """
    if weights == "random":
        note = f"random weights (seed {seed}): nothing is transferred"
        return Weights(backbone, None, _default_card(backbone), f"random-{seed}", note)
    if weights not in ("imagenet", "auto"):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"There is no weight file at {path}.",
                expected='a safetensors file, or "imagenet", "auto" or "random"',
            )
        return _from_file(backbone, path)
    _refuse_from_scratch(backbone, weights)
    if backbone == TINY:
        return _tiny("")
    tried: list[str] = []
    folder = os.environ.get("CYTOLENS_WEIGHTS")
    if folder:
        path = Path(folder).expanduser() / f"{backbone}.safetensors"
        if path.is_file():
            return _from_file(backbone, path)
        tried.append(f"CYTOLENS_WEIGHTS: {path} does not exist")
    else:
        tried.append("CYTOLENS_WEIGHTS: not set")
    if found := _from_hub(backbone, tried):
        return found
    if weights == "auto":
        return _tiny(f"no ImageNet weights of {backbone} are reachable: {TINY} stands in")
    raise InputError(
        f"No ImageNet weights of {backbone} are reachable.",
        rows=["explicit path: none given", *tried],
        expected=f"a file {backbone}.safetensors with its card in one of these places",
        fix="set model.weights to a file, or CYTOLENS_WEIGHTS to a folder of weights, or "
        f'model.weights = "auto" to fall back to {TINY}.',
    )


def at_hand(backbone: str) -> Weights | None:
    """Return weights of a backbone that are found without the network, or None.

    Raises:
        InputError: there is a file, but it cannot be used (no card, another card, damaged).
    """
    if backbone == TINY:
        return _tiny("")
    folder = os.environ.get("CYTOLENS_WEIGHTS")
    if folder and (path := Path(folder).expanduser() / f"{backbone}.safetensors").is_file():
        return _from_file(backbone, path)
    from huggingface_hub import try_to_load_from_cache

    repository = _hub_id(backbone)
    if repository is None:
        return None
    cached = try_to_load_from_cache(repository, "model.safetensors")
    if not isinstance(cached, str):
        return None
    return Weights(backbone, Path(cached), _timm_card(backbone), sha256_file(Path(cached)))


def _refuse_from_scratch(backbone: str, weights: str) -> None:
    from cytolens.models.scratch import SCRATCH

    if backbone in SCRATCH:
        raise InputError(
            f"There are no weights {weights!r} of {backbone}: it is trained from scratch.",
            expected='model.weights = "random" and model.freeze = "none"',
            fix=f"set both, or start from the shipped recipe that trains {backbone}.",
        )


def _from_file(backbone: str, path: Path) -> Weights:
    digest = sha256_file(path)
    return Weights(backbone, path, card_for(path, backbone, digest), digest)


def _tiny(note: str) -> Weights:
    path = Path(str(files("cytolens.models"))) / "weights" / f"{TINY}.safetensors"
    card = shipped_card(TINY)
    assert card is not None, "the package ships the card of its own backbone"
    return Weights(TINY, path, card, sha256_file(path), note)


def _default_card(backbone: str) -> Card:
    if card := shipped_card(backbone):
        return card
    return _timm_card(backbone)


def _timm_card(backbone: str) -> Card:
    """Make a card from timm's own description of the pretrained weights."""
    import timm

    try:
        config = timm.get_pretrained_cfg(backbone)
    except RuntimeError:
        config = None
    if config is None:
        return Card(backbone, (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    _, height, width = config.input_size
    return Card(
        backbone,
        (height, width),
        config.mean,
        config.std,
        licence=config.license or "unknown",
        source=config.hf_hub_id or config.url or "timm",
    )


def _from_hub(backbone: str, tried: list[str]) -> Weights | None:
    """Look in the hub's cache, then (giving up within seconds, once) at the hub."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repository = _hub_id(backbone)
    if repository is None:
        tried.append("hub: timm knows no pretrained weights of this name")
        return None
    name = "model.safetensors"
    cached = try_to_load_from_cache(repository, name)
    if not isinstance(cached, str):
        tried.append(f"hub cache: {repository} is not in it")
        if not _hub_answers():
            tried.append(f"hub: {_HUB_HOST} is not reachable")
            return None
        try:
            cached = hf_hub_download(repository, name, etag_timeout=_HUB_SECONDS)
        except Exception as error:  # any failure of a network library means "not reachable"
            tried.append(f"hub: {type(error).__name__}")
            return None
    path = Path(cached)
    return Weights(backbone, path, _timm_card(backbone), sha256_file(path))


def _hub_id(backbone: str) -> str | None:
    if backbone.startswith("hf-hub:"):
        return backbone.removeprefix("hf-hub:")
    import timm

    try:
        config = timm.get_pretrained_cfg(backbone)
    except RuntimeError:
        return None
    identity = config.hf_hub_id if config else None
    if identity is None:
        return None
    return f"{identity}{config.architecture}.{config.tag}" if identity.endswith("/") else identity


@lru_cache(maxsize=1)
def _hub_answers() -> bool:
    """Whether the hub can be reached at all; asked once a process."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes"):
        return False
    try:
        socket.create_connection((_HUB_HOST, 443), timeout=_HUB_SECONDS).close()
    except OSError:
        return False
    return True


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; half-precision tensors become float32.

    Raises:
        InputError: the file is not safetensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}.") from error
    return {
        k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in state.items()
    }
