"""The state of an unfinished training, whole or absent, and how often it is kept."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cytolens.core.files import write_bytes, writing

# A checkpoint of a network of some million parameters takes about a second of a busy machine. A
# training that is quicker than this is repeated rather than saved.
SAVE_SECONDS = 30.0  # between checkpoints


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
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (FileNotFoundError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError):
        return None


class Keeper:
    """Keeps the checkpoint of one training, at most every `SAVE_SECONDS`.

    Args:
        path: of the checkpoint; None keeps none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._saved = time.monotonic()

    def read(self) -> Checkpoint | None:
        """Return what an earlier training left, if anything."""
        return read_checkpoint(self._path) if self._path else None

    def keep(self, state: Callable[[], Checkpoint], *, now: bool = False) -> None:
        """Write the state if it is time to, or in any case (`now`).

        Raises:
            InputError: the disk is full or the folder cannot be written.
        """
        if self._path and (now or time.monotonic() - self._saved > SAVE_SECONDS):
            state().write(self._path)
            self._saved = time.monotonic()
