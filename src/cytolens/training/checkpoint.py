"""The state of an unfinished training, whole or absent."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cytolens.core.files import write_bytes, writing


@dataclass
class Checkpoint:
    """What is needed to go on after `epoch` finished epochs as if nothing had happened."""

    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    best: dict[str, Any]
    history: list[dict[str, Any]]

    def write(self, path: Path) -> None:
        """Write atomically.

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        content = io.BytesIO()  # torch itself reports a full disk as a RuntimeError
        torch.save(vars(self), content)
        with writing(path, "a checkpoint"):
            write_bytes(path, content.getvalue())


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint, or None when there is none that can be used."""
    try:
        return Checkpoint(**torch.load(path, weights_only=True))
    except (FileNotFoundError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError):
        return None
