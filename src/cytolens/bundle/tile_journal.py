"""The tiles of a slide that are scored so far: a line a batch, whole even after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from cytolens.bundle.journal import Lines, open_lines, partial_path
from cytolens.bundle.prediction import Prediction
from cytolens.core.errors import InputError


@dataclass(frozen=True)
class ScoredTile:
    """What is kept of one tile.

    Attributes:
        number: of the tile in `Grid.chosen`.
        probabilities: [k]; None where it could not be used.
        decision: "clear", "abnormal" or "refer"; None where none is made.
        unlike: whether it is unlike the training images; None where that is not told.
        problem: why it could not be used, or "".
    """

    number: int
    probabilities: list[float] | None = None
    decision: str | None = None
    unlike: bool | None = None
    problem: str = ""

    @classmethod
    def of(cls, number: int, said: Prediction, classes: Sequence[str]) -> ScoredTile:
        """Return what is kept of a prediction."""
        if said.problem:
            return cls(number, problem=said.problem)
        unlike = None if said.strangeness is None else bool(said.strangeness.out)
        row = [float(said.probabilities[name]) for name in classes]
        return cls(number, row, said.decision, unlike)


class TileJournal:
    """An open journal of a slide; see `open_tiles`."""

    def __init__(self, lines: Lines, path: Path) -> None:
        self._lines, self._path = lines, path
        try:
            self._kept = [[ScoredTile(*row) for row in line] for line in lines.kept]
        except TypeError as error:
            raise self._damaged() from error

    def __len__(self) -> int:
        """Return how many tiles an interrupted command left."""
        return sum(map(len, self._kept))

    def kept(self, batch: int) -> list[ScoredTile]:
        """Return the tiles that an interrupted command left, from the first one on.

        Args:
            batch: tiles a batch; only whole ones are kept, so that the rest is divided alike.

        Raises:
            InputError: they are not the first ones, or were scored in other batches.
        """
        found = [tile for line in self._kept for tile in line]
        whole = all(len(line) == batch for line in self._kept[:-1])
        if not whole or [tile.number for tile in found] != list(range(len(found))):
            raise self._damaged()
        return found

    def add(self, batch: Sequence[ScoredTile]) -> None:
        """Keep a batch; it is safe from a kill of the program when this returns."""
        self._lines.add([astuple(tile) for tile in batch])

    def _damaged(self) -> InputError:
        return InputError(f"{self._path} is damaged.", fix="remove it.")


@contextlib.contextmanager
def open_tiles(folder: Path, made_by: dict[str, Any]) -> Iterator[TileJournal]:
    """Open the journal beside the folder of a slide; it is removed when the block ends well.

    Args:
        made_by: what the scores depend on: the slide, the bundle, the settings.

    Raises:
        InputError: another process scores it, it was begun otherwise, or the place cannot be
            written.
    """
    with open_lines(folder, made_by) as lines:
        yield TileJournal(lines, partial_path(folder))
