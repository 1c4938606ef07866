"""Features of a set of images, by view: computed once, kept in the store, gathered by row."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cytolens.core.errors import InputError
from cytolens.core.files import sha256_json
from cytolens.core.profile import stage
from cytolens.data.reading import read_image
from cytolens.features.engines import ENGINES, Engine, Precision
from cytolens.features.store import Rows, Store
from cytolens.pixels.config import AugmentConfig, PixelsConfig
from cytolens.pixels.preprocess import preprocess
from cytolens.pixels.views import TEST_VIEWS, view

View = int | str  # 0: the image; v >= 1: a seeded augmented view; a name: a test-time view
BATCH = 64  # images an engine call, of torch
_SMALL_BATCH = 16  # of engines that cut batches anyway: the first ones are sooner read
SEGMENT_ROWS = 2048
SEGMENT_BYTES = 64 * 2**20
_READERS = 2
_VERSION = 1  # of the space's meaning; raise it when the same settings give other features


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides what a stored row is (its view apart).

    Attributes:
        network: identity of the frozen part: weights, backbone, freeze, pool, normalisation.
            None when nothing is frozen: the rows are then the preprocessed pixels.
        size: height and width of the network's input in pixels.
    """

    network: dict[str, Any] | None
    pixels: PixelsConfig
    augment: AugmentConfig
    size: tuple[int, int]
    engine: str = "openvino"
    precision: Precision = "f32"
    seed: int = 0

    def space(self) -> str:
        """Return the content address of the space: 32 hex digits."""
        content: dict[str, Any] = {
            "version": _VERSION,
            "network": self.network,
            "pixels": asdict(self.pixels),
            "size": self.size,
        }
        if self.network is not None:
            content |= {"engine": self.engine, "precision": self.precision}
        return sha256_json(content)[:32]

    def about(self) -> str:
        """Return one line for listings."""
        what = "pixels"
        if self.network is not None:
            what = f"{self.network['backbone']} freeze={self.network['freeze']}"
            what += f" {self.engine} {self.precision}"
        return f"{what} {self.size[0]}x{self.size[1]}"


@dataclass(frozen=True)
class Source:
    """One image: its id (which seeds its views), its file and the SHA-256 of that file."""

    id: str
    path: Path
    sha256: str


class FeatureTable:
    """Rows of features in the order of `sources`.

    Args:
        sources: the images.
        spec: what a row is.
        make_lower: builds the frozen part; called only when something must be computed.
        store: where rows are kept.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        spec: FeatureSpec,
        make_lower: Callable[[], nn.Module],
        store: Store,
    ) -> None:
        self.sources = sources
        self.spec = spec
        self.computed = 0
        self.reused = 0
        self._make_lower = make_lower
        self._store = store
        self._augment_key = sha256_json(asdict(spec.augment))
        self._opened: dict[View, tuple[Rows, NDArray[np.int64]]] = {}

    @property
    def stores_pixels(self) -> bool:
        """Whether rows are uint8 pixels [H, W, 3], of which views are drawn when gathered."""
        return self.spec.network is None

    def missing(self, wanted: Mapping[View, Sequence[int]]) -> int:
        """Return how many rows `prepare_views` would compute."""
        return sum(len(self._missing(rows, v)) for v, rows in self.stored(wanted).items())

    def stored(self, wanted: Mapping[View, Sequence[int]]) -> Mapping[View, Sequence[int]]:
        """Return the rows of the views that are kept: of pixels only the images themselves."""
        if not self.stores_pixels:
            return wanted
        return {0: sorted({row for rows in wanted.values() for row in rows})}

    def todo(self, wanted: Mapping[View, Sequence[int]]) -> list[tuple[int, View]]:
        """Return what `prepare_views` would compute, all views of an image beside each other."""
        kept = self.stored(wanted)
        # An image is read once for all its views.
        return sorted(
            ((row, v) for v, rows in kept.items() for row in self._missing(rows, v)),
            key=lambda task: task[0],
        )

    def filling(self) -> AbstractContextManager[None]:
        """Be the only process that computes rows of this space, with those it asks to `fill`."""
        return self._store.filling(self.spec.space())

    def make_engine(self) -> Engine:
        """Build the frozen part and what runs it; seconds, and the memory of the network."""
        return ENGINES.get(self.spec.engine)(
            self._make_lower(), self.spec.size, self.spec.precision
        )

    def fill(self, todo: Sequence[tuple[int, View]], engine: Engine | None = None) -> int:
        """Compute a part of `todo`, while the one who cut it holds the space; return how many.

        Args:
            engine: of an earlier call of `make_engine`, for the same space.
        """
        lacking: dict[View, list[int]] = {}
        for row, v in todo:
            lacking.setdefault(v, []).append(row)
        rest = self.todo(lacking)
        if rest:
            self._compute(rest, lambda: None, engine)
        return len(rest)

    def prepare(self, rows: Sequence[int], views: Sequence[View]) -> None:
        """Make some views of some rows ready for `gather`; see `prepare_views`."""
        self.prepare_views(dict.fromkeys(views, rows))

    def prepare_views(
        self, wanted: Mapping[View, Sequence[int]], step: Callable[[], None] = lambda: None
    ) -> None:
        """Compute what is not in the store yet, then open it for `gather`.

        Args:
            wanted: the rows of each view.
            step: called once a computed row, for a progress bar.

        Raises:
            InputError: the disk is full, or the store's limit is too small to hold the run.
        """
        wanted = self.stored(wanted)
        asked = sum(map(len, wanted.values()))
        computed = 0
        if self.missing(wanted):
            with self.filling():
                todo = self.todo(wanted)
                if todo:
                    self._compute(todo, step)
                computed = len(todo)
        self.computed += computed
        self.reused += asked - computed
        for v, rows in wanted.items():
            self._open(v, rows)

    def gather(self, rows: NDArray[np.int64], v: View) -> NDArray[Any]:
        """Return the features of some rows (all prepared before) in one view, [len(rows), …]."""
        opened, position = self._opened[0 if self.stores_pixels else v]
        assert (position[rows] >= 0).all(), "rows that were not prepared"
        base = opened.gather(position[rows])
        if not self.stores_pixels:
            return base
        if v == 0:
            return base
        images = [self._draw(base[i], int(row), v) for i, row in enumerate(rows)]
        return np.stack(images)  # [n, H, W, 3]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return next(iter(self._opened.values()))[0].shape

    def _open(self, v: View, rows: Sequence[int]) -> None:
        position = np.full(len(self.sources), -1, dtype=np.int64)
        position[np.asarray(rows, dtype=np.int64)] = np.arange(len(rows))
        try:
            opened = self._store.read(self.spec.space(), [self._key(row, v) for row in rows])
        except KeyError as error:
            raise InputError(
                "The feature store evicted rows that this run has just computed.",
                expected=f"a limit above what it needs (now {self._store.limit / 2**30:.1f} GiB)",
                fix="raise CYTOLENS_STORE_LIMIT (GiB), or draw fewer views.",
            ) from error
        self._opened[v] = opened, position

    def _missing(self, rows: Sequence[int], v: View) -> list[int]:
        keys = {self._key(row, v): row for row in rows}  # equal files share a key
        return [keys[key] for key in self._store.missing(self.spec.space(), list(keys))]

    def _key(self, row: int, v: View) -> str:
        source = self.sources[row]
        if isinstance(v, int) and v > 0:
            token = f"{v}|{self.spec.seed}|{source.id}|{self._augment_key}"
        else:
            token = str(v)
        return hashlib.sha256(f"{source.sha256}|{token}".encode()).hexdigest()[:32]

    def _draw(self, base: NDArray[np.uint8], row: int, v: View) -> NDArray[np.uint8]:
        with stage("augment"):
            if isinstance(v, str):
                return TEST_VIEWS.get(v)(base)
            return view(base, self.spec.augment, self.spec.seed, self.sources[row].id, v)

    def _read(self, row: int) -> NDArray[np.uint8]:
        image = read_image(self.sources[row].path)
        with stage("resize"):
            return preprocess(image, self.spec.pixels, self.spec.size)

    def _compute(
        self,
        todo: list[tuple[int, View]],
        step: Callable[[], None],
        engine: Engine | None = None,
    ) -> None:
        batches = _in_batches(
            todo, BATCH if self.spec.engine == "torch" else min(BATCH, _SMALL_BATCH)
        )
        pixels = self._pixel_batches(batches)
        if self.spec.network is None:
            features: Iterator[NDArray[Any]] = pixels
        else:
            features = (engine or self.make_engine()).run(pixels)
        kept: list[NDArray[Any]] = []
        keys: list[str] = []
        for batch, out in zip(batches, features, strict=True):
            kept.append(out)
            keys += [self._key(row, v) for row, v in batch]
            for _ in batch:
                step()
            if len(keys) >= SEGMENT_ROWS or len(keys) * out[0].nbytes >= SEGMENT_BYTES:
                self._flush(keys, kept)
        self._flush(keys, kept)

    def _flush(self, keys: list[str], kept: list[NDArray[Any]]) -> None:
        if keys:
            self._store.write(self.spec.space(), self.spec.about(), keys, np.concatenate(kept))
            keys.clear()
            kept.clear()

    def _pixel_batches(self, batches: list[list[tuple[int, View]]]) -> Iterator[NDArray[np.uint8]]:
        """Read, preprocess and draw views in threads, two batches ahead of the engine."""

        def load(batch: list[tuple[int, View]]) -> NDArray[np.uint8]:
            images = np.empty((len(batch), *self.spec.size, 3), np.uint8)
            last: tuple[int, NDArray[np.uint8]] | None = None
            for number, (row, v) in enumerate(batch):
                if last is None or last[0] != row:
                    last = row, self._read(row)
                images[number] = last[1] if v == 0 else self._draw(last[1], row, v)
            return images

        with ThreadPoolExecutor(_READERS) as pool:
            ahead: deque[Future[NDArray[np.uint8]]] = deque()
            for batch in batches:
                ahead.append(pool.submit(load, batch))
                if len(ahead) > _READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()


def _in_batches(todo: list[tuple[int, View]], size: int) -> list[list[tuple[int, View]]]:
    return [todo[i : i + size] for i in range(0, len(todo), size)]
