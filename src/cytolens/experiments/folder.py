"""The run folder: written beside its place, renamed when whole, resumed when cut off."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.core.errors import CytolensError, InputError
from cytolens.core.files import lock, read_json, write_json, write_text, writing
from cytolens.experiments.identity import Identity, changed, digests
from cytolens.experiments.learning.learned import Learned
from cytolens.splits.split import Split

_IDENTITY = "identity.json"
_SPLIT = "split.json"
_LOCKS = "locks"  # a file a fold


class Workplace:
    """`RUN.partial/`: what an unfinished run has so far."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.path = out.with_name(out.name + ".partial")
        self._claimed = False

    def claim(self, identity: Identity) -> None:
        """Start here, or go on with an unfinished run of the same recipe and data.

        Raises:
            InputError: another experiment was cut off here, the folder is not ours, or the place
                cannot be written.
        """
        known = self.path / _IDENTITY
        with writing(self.path, "the run"):
            self.path.mkdir(parents=True, exist_ok=True)
            if not known.exists():
                if any(
                    not inside.name.startswith(f".{_IDENTITY}.") for inside in self.path.iterdir()
                ):
                    raise InputError(
                        f"{self.path} is in the way, and it is not an unfinished run.",
                        fix="remove or rename it, or choose another --out.",
                    )
                write_json(known, digests(identity))
            (self.path / _LOCKS).mkdir(exist_ok=True)
        if parts := changed(known, identity):
            raise InputError(
                f"{self.path} holds an unfinished run with another {' and '.join(parts)}.",
                fix="finish it with its own command, remove that folder, or choose another --out.",
            )
        self._claimed = True
        for rest in self.path.rglob(".*.tmp"):  # of a write that was killed
            rest.unlink()

    def share(self, split: Split) -> None:
        """Show which folds there are; from now on other processes may take some of them."""
        with writing(self.path, "the run"):
            split.write(self.path / _SPLIT)

    def is_of(self, identity: Identity) -> bool:
        """Whether an unfinished run of this recipe and these data stands here."""
        known = self.path / _IDENTITY
        return known.exists() and not changed(known, identity)

    @contextlib.contextmanager
    def taking(self, repeat: int, fold: int, *, wait: bool) -> Iterator[bool]:
        """Be the only process that learns a fold; False where there is nothing to learn.

        Args:
            wait: wait for a process that is at it (which may end without an outcome); otherwise
                leave the fold to that process.
        """
        path = self.path / _LOCKS / f"r{repeat}-f{fold}"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock(path, "", wait=wait, make_folder=False))
            except (FileNotFoundError, InputError):  # the run is finished; another is at the fold
                yield False
                return
            done = self.fold_path(repeat, fold, ".json").exists()
            # A run that was finished meanwhile stands elsewhere, with all its folds.
            yield not done and (self.path / _IDENTITY).exists()

    def folds_left(self) -> int:
        """Return the number of folds without an outcome; 0 before the run is shared."""
        path = self.path / _SPLIT
        if not path.exists():
            return 0
        done = len(list((self.path / "folds").glob("r*.json")))
        return len(read_json(path, "split file")["folds"]) - done

    def discard_unless_begun(self) -> None:
        """Remove our workplace if no epoch and no fold has been kept in it."""
        if self._claimed and not (self.path / "folds").exists():
            shutil.rmtree(self.path, ignore_errors=True)

    def fold_path(self, repeat: int, fold: int, suffix: str) -> Path:
        return self.path / "folds" / f"r{repeat}-f{fold}{suffix}"

    def save_fold(self, repeat: int, fold: int, learned: Learned) -> None:
        """Keep a finished fold: its predictions are in the order of the split's test ids."""
        content = {
            "history": learned.history,
            "facts": learned.facts,
            "probabilities": learned.probabilities.tolist(),
        }
        with writing(self.path, "the run"):
            write_json(self.fold_path(repeat, fold, ".json"), content)

    def load_fold(self, repeat: int, fold: int) -> Learned:
        """Return a finished fold."""
        content = read_json(self.fold_path(repeat, fold, ".json"), "finished fold")
        probabilities = np.array(content["probabilities"], dtype=np.float64)
        return Learned(probabilities, content["history"], content["facts"])

    def write_history(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with writing(self.path, "the run"):
            write_text(self.path / "history.jsonl", text)

    def finish(self) -> Path:
        """Move the run to its place, then remove the scaffolding."""
        with writing(self.out, "the run"):
            if self.out.exists():  # a run that is overwritten, or an empty folder
                shutil.rmtree(self.out)
            self.path.rename(self.out)
        for scaffold in ("folds", _LOCKS):
            shutil.rmtree(self.out / scaffold, ignore_errors=True)
        (self.out / _IDENTITY).unlink(missing_ok=True)
        return self.out


@contextlib.contextmanager
def workplace(out: Path, *, overwrite: bool = False) -> Iterator[Workplace]:
    """Open the place of a run for one process.

    A run that is overwritten stays until the new one is whole.

    Raises:
        InputError: a finished run or something else is there, another process is at work, or the
            place cannot be written.
    """
    if out.name in ("", ".."):
        out = out.resolve()
    place = Workplace(out)
    guard = out.with_name(f".{out.name}.lock")
    busy = f"Another process is working on {out}."
    with contextlib.ExitStack() as stack:
        with writing(out, "the run"):
            stack.enter_context(lock(guard, busy))
        try:
            _check_free(out, overwrite)
            yield place
        except CytolensError:
            place.discard_unless_begun()
            raise
        finally:
            guard.unlink(missing_ok=True)


def _check_free(out: Path, overwrite: bool) -> None:
    """Refuse a finished run (unless told), and anything else in any case."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not all((out / name).is_file() for name in ("recipe.toml", "metrics.json")):
        raise InputError(
            f"{out} holds something else than a run; it is not overwritten.",
            fix="choose another --out.",
        )
    if not overwrite:
        raise InputError(
            f"{out} already holds a finished run.",
            fix="choose another --out, or pass --overwrite.",
        )
