"""What of some folds is computed once an image: in one go, or in shards that any process can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from cytolens.core.errors import InputError
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe
from cytolens.features.engines import Engine
from cytolens.features.handcrafted import HandcraftedTable, MaskedSource
from cytolens.features.store import Store
from cytolens.features.table import FeatureTable, Source, View
from cytolens.pixels.config import PixelsConfig

T = TypeVar("T")
# Of the last shard that this process did, by its space: to build a network takes seconds.
_kept: dict[str, tuple[Network, Engine | None]] = {}


class Shard(Protocol):
    """Some images, with all that another process needs to compute what they lack."""

    @property
    def rows(self) -> int:
        """The number of rows it computes where the store has none of them."""

    def compute(self, store: Store) -> int:
        """Compute what is still missing, while another process holds the spaces; return how many.

        Raises:
            InputError: images, masks or weights that differ from those of who cut the shard.
        """


class Frozen(Protocol):
    """What folds need of the part that is not trained."""

    @property
    def asked(self) -> int:
        """The number of rows that the folds look at."""

    def missing(self) -> int:
        """Return how many of them the store does not have."""

    def compute(self, step: Callable[[], None]) -> int:
        """Compute those in this process, and return how many there were."""

    def filling(self) -> AbstractContextManager[None]:
        """Be the only one that computes rows of these spaces, with the shards handed out."""

    def shards(self, most: int) -> Iterator[Shard]:
        """Cut what is missing into shards of about so many rows; an image stays in one."""


@dataclass(frozen=True)
class DeepShard:
    """Views of images for the frozen part of a network.

    Attributes:
        todo: (index of `sources`, view).
        space: where the rows belong, by who cut the shard.
    """

    recipe: Recipe
    classes: int
    sources: tuple[Source, ...]
    todo: tuple[tuple[int, View], ...]
    space: str

    @property
    def rows(self) -> int:
        return len(self.todo)

    def compute(self, store: Store) -> int:
        network, engine = _kept.get(self.space, (None, None))
        network = network or Network(self.recipe, self.classes)
        table = network.table_of(self.sources, store)
        if table.spec.space() != self.space:
            raise InputError(
                f"A process found other weights for {self.recipe.model.backbone}, or another "
                "engine, than the one that hands out the work.",
                fix="give all machines the same CYTOLENS_WEIGHTS.",
            )
        if engine is None and not table.stores_pixels:
            engine = table.make_engine()
        _kept.clear()
        _kept[self.space] = network, engine
        return table.fill(self.todo, engine)


class DeepFrozen:
    """The frozen part of a network; see `Frozen`.

    Args:
        wanted: the rows of each view, over all folds.
    """

    def __init__(
        self, network: Network, table: FeatureTable, wanted: Mapping[View, Sequence[int]]
    ) -> None:
        self._network = network
        self._table = table
        self._wanted = wanted

    @property
    def asked(self) -> int:
        return sum(map(len, self._table.stored(self._wanted).values()))

    def missing(self) -> int:
        return self._table.missing(self._wanted)

    def compute(self, step: Callable[[], None]) -> int:
        before = self._table.computed
        self._table.prepare_views(self._wanted, step)
        return self._table.computed - before

    def filling(self) -> AbstractContextManager[None]:
        return self._table.filling()

    def shards(self, most: int) -> Iterator[Shard]:
        for part in _cut(self._table.todo(self._wanted), lambda one: one[0], most):
            rows = sorted({row for row, _ in part})
            index = {row: i for i, row in enumerate(rows)}
            yield DeepShard(
                self._network.recipe,
                self._network.classes,
                tuple(self._table.sources[row] for row in rows),
                tuple((index[row], v) for row, v in part),
                self._table.spec.space(),
            )


@dataclass(frozen=True)
class HandcraftedShard:
    """Images for groups of handcrafted features."""

    sources: tuple[MaskedSource, ...]
    groups: tuple[str, ...]
    pixels: PixelsConfig

    @property
    def rows(self) -> int:
        return len(self.sources)

    def compute(self, store: Store) -> int:
        table = HandcraftedTable(self.sources, self.groups, self.pixels, store)
        return table.fill(range(len(self.sources)))


class HandcraftedFrozen:
    """Handcrafted features, a row an image; see `Frozen`."""

    def __init__(self, table: HandcraftedTable, rows: Sequence[int], pixels: PixelsConfig) -> None:
        self._table = table
        self._rows = rows
        self._pixels = pixels

    @property
    def asked(self) -> int:
        return len(self._rows)

    def missing(self) -> int:
        return self._table.missing(self._rows)

    def compute(self, step: Callable[[], None]) -> int:
        before = self._table.computed
        self._table.prepare(self._rows, step)
        return self._table.computed - before

    def filling(self) -> AbstractContextManager[None]:
        return self._table.filling()

    def shards(self, most: int) -> Iterator[Shard]:
        for rows in _cut(self._table.todo(self._rows), lambda row: row, most):
            sources = tuple(self._table.sources[row] for row in rows)
            yield HandcraftedShard(sources, self._table.groups, self._pixels)


def _cut(todo: Sequence[T], image: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Cut tasks, sorted by image, between images: into parts of `most` or a few more."""
    part: list[T] = []
    for one in todo:
        if len(part) >= most and image(one) != image(part[-1]):
            yield part
            part = []
        part.append(one)
    if part:
        yield part
