"""Write a bundle, and what is added to it later; its description comes last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from cytolens.bundle.card import CARD, MODEL, BundleCard, read_bundle_card
from cytolens.core.config import to_dict
from cytolens.core.files import sha256_file, write_bytes, write_json, writing

Tensors = Mapping[str, NDArray[Any]]


def save_bundle(folder: Path, card: BundleCard, state: Tensors) -> None:
    """Write the model, then its description with the model's hash.

    Args:
        state: `net.*` (the backbone, names as in its weight file) and `head.*`.

    Raises:
        InputError: the folder cannot be written.
    """
    with writing(folder, "the bundle"):
        write_tensors(folder / MODEL, state)
        _write_card(folder, replace(card, files={MODEL: sha256_file(folder / MODEL)}))


def write_tensors(path: Path, tensors: Tensors) -> None:
    """Write a safetensors file."""
    content = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_bytes(path, save(content))


def amend_bundle(folder: Path, *added: str, **parts: Any) -> BundleCard:
    """Vouch for files that were added to a bundle, and set parts of its description.

    Args:
        added: names of files that stand in the folder.
        parts: fields of `BundleCard`.

    Raises:
        InputError: no bundle, or a place that cannot be written.
    """
    with writing(folder, "the bundle"):
        card = read_bundle_card(folder)
        files = card.files | {name: sha256_file(folder / name) for name in added}
        card = replace(card, files=files, **parts)
        _write_card(folder, card)
    return card


def _write_card(folder: Path, card: BundleCard) -> None:
    write_json(folder / CARD, to_dict(card))
