"""Score a field tile by tile: memory holds a few tiles, and the numbers of the rest."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cytolens.bundle.field import Field, FieldProblem
from cytolens.bundle.inputs import Image
from cytolens.bundle.predictor import Predictor
from cytolens.bundle.tile_journal import ScoredTile, TileJournal
from cytolens.bundle.tiling import Grid, plan_tiles
from cytolens.bundle.tissue import Tissue, find_tissue, read_scaled
from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent

_BATCH = 64  # tiles
_WAITING = 64 << 20  # bytes of tiles a batch at most

Waiting = tuple[int, Image | str]  # a tile's number, and its picture or why there is none


@dataclass(frozen=True)
class ScoredField:
    """A field with its tiles scored.

    Attributes:
        size: width and height of the field in pixels.
        grid: its tiles; row i of what follows is tile i of `grid.chosen`.
        classes: in the order of the probabilities.
        probabilities: float32 [n, k]; NaN where a tile could not be read.
        scores: what tiles are ranked by, float32 [n] in 0…1; NaN where a tile could not be read.
        abnormal: the classes whose probabilities make the score; empty: it is the entropy of all
            classes, divided by its largest value, log k.
        problems: of tiles that could not be used, by number.
        decisions: of tiles, counted ("clear", "abnormal", "refer"); empty where none are made.
        unlike: tiles unlike the training images; None where the predictor does not tell.
        tissue: the small picture and what of it is stained.
        notes: what was assumed.
    """

    size: tuple[int, int]
    grid: Grid
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float32]
    abnormal: tuple[str, ...]
    problems: dict[int, str]
    decisions: Counter[str]
    unlike: int | None
    tissue: Tissue
    notes: tuple[str, ...]

    @property
    def labels(self) -> list[str | None]:
        """The most probable class of each tile; None where it could not be used."""
        best = np.nan_to_num(self.probabilities, nan=-1.0).argmax(axis=1)
        return [None if i in self.problems else self.classes[int(b)] for i, b in enumerate(best)]

    @property
    def heat(self) -> NDArray[np.float32]:
        """The scores on the grid, float32 [rows, columns]; NaN where no tile was scored."""
        found = np.full((self.grid.rows, self.grid.columns), np.nan, np.float32)
        found[self.grid.chosen[:, 1], self.grid.chosen[:, 0]] = self.scores
        return found

    def top(self, count: int) -> list[int]:
        """Return the numbers of the tiles of the highest scores, the highest first."""
        order = np.argsort(-np.nan_to_num(self.scores, nan=-1.0), kind="stable")
        return [int(i) for i in order[:count] if int(i) not in self.problems]

    @property
    def score_text(self) -> str:
        """What the score is, for a legend."""
        if self.abnormal:
            return f"probability of {' or '.join(self.abnormal)}"
        return "uncertainty (entropy of the classes, 1: all alike)"


@dataclass
class _Counts:
    decisions: Counter[str] = field(default_factory=Counter)
    unlike: int | None = None

    def add(self, tile: ScoredTile) -> None:
        if tile.decision is not None:
            self.decisions[tile.decision] += 1
        if tile.unlike is not None:
            self.unlike = (self.unlike or 0) + tile.unlike


def score_field(
    predictor: Predictor,
    large: Field,
    *,
    tile: int | None = None,
    um_per_px: float | None = None,
    abnormal: Sequence[str] = (),
    whole: bool = False,
    jobs: int = 2,
    progress: Progress | None = None,
    name: str = "tiles",
    journal: TileJournal | None = None,
) -> ScoredField:
    """Find tissue, lay tiles over it and score them; reading overlaps with scoring.

    Args:
        tile: pixels a side of a tile's picture; the predictor's input size unless given.
        um_per_px: wanted scale of that picture; None takes pixels as scanned.
        abnormal: classes whose probabilities, added, rank tiles; none: uncertainty ranks them.
        whole: score all tiles, not those with tissue alone.
        jobs: threads that read.
        name: of the progress bar.
        journal: of this field; tiles in it are not scored again, and those that are go into it.

    Raises:
        InputError: no tissue, no tile that can be read, an unknown class, or a damaged journal.
    """
    classes = tuple(predictor.classes)
    if unknown := [c for c in abnormal if c not in classes]:
        raise InputError(
            f"The bundle does not know {' and '.join(unknown)}.", expected=", ".join(classes)
        )
    tissue = find_tissue(large)
    size = (tile, tile) if tile is not None else (predictor.size[1], predictor.size[0])
    grid = plan_tiles(large, None if whole else tissue, size, um_per_px=um_per_px)
    n = len(grid.chosen)
    found = np.full((n, len(classes)), np.nan, np.float32)
    problems: dict[int, str] = {}
    counts = _Counts()

    def take(tile: ScoredTile) -> None:
        if tile.probabilities is None:
            problems[tile.number] = tile.problem
        else:
            found[tile.number] = tile.probabilities
            counts.add(tile)

    batch = _batch_size(grid)
    kept = journal.kept(batch) if journal is not None else []
    for tile_before in kept:
        take(tile_before)
    with (progress or Silent()).task(name, n - len(kept)) as step:
        for waiting in _batches(large, grid, jobs, batch, len(kept)):
            scored = _scored(predictor, waiting, classes)
            if journal is not None:
                journal.add(scored)
            for one in scored:
                take(one)
                step()
    if len(problems) == n:
        raise InputError(
            f"None of {n} tiles could be used: the first {next(iter(problems.values()))}."
        )
    notes = list(grid.notes)
    if problems:
        notes.append(f"{len(problems)} of {n} tiles could not be used")
    return ScoredField(
        large.size, grid, classes, found, _scores(found, classes, abnormal), tuple(abnormal),
        problems, counts.decisions, counts.unlike, tissue, tuple(notes),
    )  # fmt: skip


def _scored(
    predictor: Predictor, batch: list[Waiting], classes: tuple[str, ...]
) -> list[ScoredTile]:
    """Score a batch of tiles, in order; those that could not be read keep their problem."""
    good = [(i, image) for i, image in batch if not isinstance(image, str)]
    said = iter(predictor.predict_arrays([image for _, image in good]) if good else [])
    return [
        ScoredTile(i, problem=image)
        if isinstance(image, str)
        else ScoredTile.of(i, next(said), classes)
        for i, image in batch
    ]


def _scores(
    found: NDArray[np.float32], classes: tuple[str, ...], abnormal: Sequence[str]
) -> NDArray[np.float32]:
    if abnormal:
        return np.asarray(found[:, [classes.index(c) for c in abnormal]].sum(axis=1), np.float32)
    safe = np.maximum(found, np.finfo(np.float32).tiny)  # 0 log 0 = 0
    entropy = -(found * np.log(safe)).sum(axis=1) / np.log(max(2, len(classes)))
    return np.asarray(np.maximum(entropy, 0), np.float32)


def read_tile(large: Field, grid: Grid, index: int) -> Image:
    """Return the picture of a chosen tile, uint8 RGB [height, width, 3].

    Raises:
        FieldProblem: it is damaged.
    """
    return read_scaled(large, *grid.corner(index), grid.span, grid.size)


def _batch_size(grid: Grid) -> int:
    return max(1, min(_BATCH, _WAITING // (3 * grid.size[0] * grid.size[1])))


def _batches(
    large: Field, grid: Grid, jobs: int, batch: int, start: int
) -> Iterator[list[Waiting]]:
    """Yield tiles from `start` on, or why one cannot be read, in order; two batches ahead."""

    def read(index: int) -> Image | str:
        try:
            return read_tile(large, grid, index)
        except FieldProblem:
            return "is damaged"

    ahead: deque[tuple[int, Future[Image | str]]] = deque()
    ready: list[Waiting] = []
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        try:
            for index in range(start, len(grid.chosen)):
                ahead.append((index, pool.submit(read, index)))
                if len(ahead) > 2 * batch:
                    number, future = ahead.popleft()
                    ready.append((number, future.result()))
                if len(ready) == batch:
                    yield ready
                    ready = []
            for number, future in ahead:
                ready.append((number, future.result()))
                if len(ready) == batch:
                    yield ready
                    ready = []
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if ready:
        yield ready
