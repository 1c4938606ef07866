"""Handcrafted features of a set of images: computed once an image, kept in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.files import sha256_file, sha256_json
from cytolens.data.reading import read_image
from cytolens.features.store import Store
from cytolens.models.classical.features import FEATURES, describe
from cytolens.models.classical.masks import fit_mask, read_mask
from cytolens.models.classical.sample import Sample
from cytolens.pixels.config import PixelsConfig
from cytolens.pixels.preprocess import preprocess

Numbers = dict[str, NDArray[np.float64]]
_WORKERS = 2
_WINDOW = 256  # images between two writes to the store


@dataclass(frozen=True)
class MaskedSource:
    """One image: its file, the SHA-256 of that file, and its mask if that is to be looked at."""

    path: Path
    sha256: str
    mask: Path | None = None

    @cached_property
    def mask_sha256(self) -> str:
        return sha256_file(self.mask) if self.mask else ""


class HandcraftedTable:
    """Rows of handcrafted features in the order of `sources`.

    Args:
        sources: the images. Either all have a mask or none: features of drawn and of found nuclei
            are not to be mixed.
        groups: registered feature groups, side by side in a row.
        pixels: steps before the features; size 0 leaves each image its own size.
        store: where the numbers are kept, each group by itself.
    """

    def __init__(
        self,
        sources: Sequence[MaskedSource],
        groups: Sequence[str],
        pixels: PixelsConfig,
        store: Store,
    ) -> None:
        assert len({source.mask is None for source in sources}) <= 1, "masks for all or for none"
        self.sources = sources
        self.groups = tuple(groups)
        self.computed = 0
        self.reused = 0
        self._pixels = pixels
        self._store = store

    def missing(self, rows: Sequence[int]) -> int:
        """Return how many images `prepare` would look at."""
        return len(self._todo(rows))

    def prepare(self, rows: Sequence[int], step: Callable[[], None] = lambda: None) -> None:
        """Compute what is not in the store yet; what another process is computing is waited for.

        Args:
            step: called once a computed image, for a progress bar.

        Raises:
            InputError: masks that cannot be used (all of them), or a full disk.
        """
        computed = 0
        if self._todo(rows):
            with self.filling():
                todo = self._todo(rows)
                computed = len(todo)
                self._compute(todo, step)
        self.computed += computed
        self.reused += len(set(rows)) - computed

    def todo(self, rows: Sequence[int]) -> list[int]:
        """Return the images that `prepare` would look at."""
        return [row for row, _ in self._todo(rows)]

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Be the only process that computes these groups, with those it asks to `fill`."""
        with ExitStack() as alone:
            # Sorted: two processes that share several groups never wait for each other.
            for space in sorted({self._space(group) for group in self.groups}):
                alone.enter_context(self._store.filling(space))
            yield

    def fill(self, rows: Sequence[int]) -> int:
        """Compute a part of `todo`, while the one who cut it holds the spaces; return how many."""
        rest = self._todo(rows)
        self._compute(rest, lambda: None)
        return len(rest)

    def _compute(self, todo: list[tuple[int, tuple[str, ...]]], step: Callable[[], None]) -> None:
        problems: list[InputError] = []
        for start in range(0, len(todo), _WINDOW):
            found = {}
            for row, numbers in self._look(todo[start : start + _WINDOW]):
                if isinstance(numbers, InputError):
                    problems.append(numbers)
                else:
                    found[row] = numbers
                step()
            self._write(found)
        if problems:
            raise InputError(
                f"{len(problems)} masks cannot be used.",
                rows=[problem.what for problem in problems],
                expected=problems[0].expected,
                fix='correct them, or set classifier.masks = "ignore".',
            )

    def matrix(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the numbers of some rows (all prepared before), float64 [len(rows), d]."""
        parts = [np.zeros((len(rows), 0))]
        for group in self.groups:
            keys = [self._key(int(row), group) for row in rows]
            try:
                stored = self._store.read(self._space(group), keys)
            except KeyError as error:
                raise InputError(
                    "The feature store evicted rows that this run has just computed.",
                    fix="raise CYTOLENS_STORE_LIMIT (GiB).",
                ) from error
            if len(rows):
                parts.append(np.asarray(stored.gather(np.arange(len(rows))), np.float64))
        return np.concatenate(parts, axis=1)

    def _space(self, group: str) -> str:
        content = {
            "handcrafted": group,
            "version": FEATURES.get(group).version,
            "pixels": asdict(self._pixels),
        }
        return sha256_json(content)[:32]

    def _key(self, row: int, group: str) -> str:
        source = self.sources[row]
        mask = source.mask_sha256 if FEATURES.get(group).sees_masks else ""
        return hashlib.sha256(f"{source.sha256}|{mask}".encode()).hexdigest()[:32]

    def _todo(self, rows: Sequence[int]) -> list[tuple[int, tuple[str, ...]]]:
        """Return the rows with the groups that are not stored of them; equal files once."""
        todo: dict[str, tuple[int, list[str]]] = {}
        for group in self.groups:
            keys = {self._key(row, group): row for row in rows}
            for key in self._store.missing(self._space(group), list(keys)):
                row, source = keys[key], self.sources[keys[key]]
                file = f"{source.sha256}|{source.mask_sha256}"
                todo.setdefault(file, (row, []))[1].append(group)
        return sorted((row, tuple(groups)) for row, groups in todo.values())

    def _look(
        self, todo: list[tuple[int, tuple[str, ...]]]
    ) -> Iterator[tuple[int, Numbers | InputError]]:
        with ThreadPoolExecutor(_WORKERS) as pool:
            found = pool.map(lambda one: self._numbers(*one), todo)
            yield from zip((row for row, _ in todo), found, strict=True)

    def _numbers(self, row: int, groups: tuple[str, ...]) -> Numbers | InputError:
        source = self.sources[row]
        image = read_image(source.path)
        size = self._pixels.resolve((image.shape[0], image.shape[1]))
        mask = None
        if source.mask is not None and any(FEATURES.get(g).sees_masks for g in groups):
            try:
                drawn = read_mask(source.mask, (image.shape[0], image.shape[1]))
            except InputError as problem:
                return problem
            mask = fit_mask(drawn, size, letterbox=self._pixels.fit == "letterbox")
        return describe(Sample(preprocess(image, self._pixels, size), mask), groups)

    def _write(self, found: dict[int, Numbers]) -> None:
        for group in self.groups:
            rows = [row for row, numbers in found.items() if group in numbers]
            if rows:
                keys = [self._key(row, group) for row in rows]
                values = np.stack([found[row][group] for row in rows])  # [n, d]
                self._store.write(self._space(group), f"handcrafted {group}", keys, values)
