"""The run folder: written beside its place, renamed when whole, resumed when cut off."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import lock, read_json, sha256_json, write_json, write_text, writing

_IDENTITY = "identity.json"


class Workplace:
    """`RUN.partial/`: what an unfinished run has so far."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = out.with_name(out.name + ".partial")

    def claim(self, identity: dict[str, Any]) -> None:
        """Start here, or go on with an unfinished run of the same recipe and data.

        Raises:
            InputError: another experiment was cut off here, or the place cannot be written.
        """
        with writing(self.path, "the run"):
            self.path.mkdir(parents=True, exist_ok=True)
            known = self.path / _IDENTITY
            digest = {key: sha256_json(value) for key, value in identity.items()}
            if not known.exists():
                write_json(known, digest)
                return
        before = read_json(known, "run identity")
        if changed := [key for key, value in digest.items() if before.get(key) != value]:
            raise InputError(
                f"{self.path} holds an unfinished run with another {' and '.join(changed)}.",
                fix="finish it with its own command, remove that folder, or choose another --out.",
            )

    def discard(self) -> None:
        """Remove a workplace in which nothing was begun."""
        shutil.rmtree(self.path, ignore_errors=True)

    def fold_path(self, repeat: int, fold: int, suffix: str) -> Path:
        return self.path / "folds" / f"r{repeat}-f{fold}{suffix}"

    def save_fold(
        self,
        repeat: int,
        fold: int,
        probabilities: NDArray[np.float64],
        history: list[dict[str, Any]],
    ) -> None:
        """Keep a finished fold: its predictions in the order of the split's test ids."""
        content = {"history": history, "probabilities": probabilities.tolist()}
        write_json(self.fold_path(repeat, fold, ".json"), content)

    def load_fold(
        self, repeat: int, fold: int
    ) -> tuple[NDArray[np.float64], list[dict[str, Any]]] | None:
        """Return a fold that was finished before, or None."""
        path = self.fold_path(repeat, fold, ".json")
        if not path.exists():
            return None
        content = read_json(path, "finished fold")
        return np.array(content["probabilities"], dtype=np.float64), content["history"]

    def write_history(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(self.path / "history.jsonl", text)

    def finish(self) -> Path:
        """Remove the scaffolding and move the run to its place."""
        shutil.rmtree(self.path / "folds", ignore_errors=True)
        (self.path / _IDENTITY).unlink(missing_ok=True)
        with writing(self.out, "the run"):
            self.path.rename(self.out)
        return self.out


@contextlib.contextmanager
def workplace(out: Path, *, overwrite: bool = False) -> Iterator[Workplace]:
    """Open the place of a run for one process.

    Raises:
        InputError: a finished run or something else is there, another process is at work, or the
            place cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            what = "a finished run" if (out / "metrics.json").exists() else "something else"
            raise InputError(
                f"{out} already holds {what}.",
                fix="choose another --out, or pass --overwrite.",
            )
        if not (out / "metrics.json").exists():
            raise InputError(
                f"{out} holds something else than a run; it is not overwritten.",
                fix="choose another --out.",
            )
        shutil.rmtree(out)
    elif out.exists():
        out.rmdir()
    place = Workplace(out)
    guard = out.with_name(f".{out.name}.lock")
    busy = f"Another process is working on {out}."
    with contextlib.ExitStack() as stack:
        with writing(out, "the run"):
            stack.enter_context(lock(guard, busy))
        try:
            yield place
        finally:
            guard.unlink(missing_ok=True)
