"""Predictions of many images by tasks of a cluster, in the order of the images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cytolens.bundle import Bundle, Ensemble, load_bundle, load_ensemble, stream
from cytolens.bundle.inputs import Image, Item, read_file
from cytolens.bundle.stream import Done, Row, predict_items
from cytolens.core.errors import InputError
from cytolens.experiments.cluster.executor import Executor
from cytolens.experiments.cluster.probe import check_nodes
from cytolens.experiments.cluster.ray_cluster import RayCluster

_BATCHES = 8  # a task: whole batches, for last digits depend on what is computed together
_AHEAD = 2  # tasks a slot that are handed out

# The last bundle that this process predicted with: to load one takes seconds.
_kept: dict[Any, Bundle | Ensemble] = {}


@dataclass(frozen=True)
class Model:
    """What is predicted with.

    Attributes:
        folders: of a bundle, or of several that are averaged.
        options: of `load_bundle`: runtime, precision, examples.
    """

    folders: tuple[Path, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def load(self) -> Bundle | Ensemble:
        """Load it, once a process."""
        if self not in _kept:
            _kept.clear()
            options: Mapping[str, Any] = dict(self.options)
            one = len(self.folders) == 1
            _kept[self] = (
                load_bundle(self.folders[0], **options)
                if one
                else load_ensemble(self.folders, **options)
            )
        return _kept[self]


def check_prediction(cluster: RayCluster, loaded: Bundle | Ensemble, items: Sequence[Item]) -> None:
    """Refuse images that only this process can read, and nodes that cannot do the work.

    Raises:
        InputError: images inside archives, or what a node lacks.
    """
    members = loaded.members if isinstance(loaded, Ensemble) else (loaded,)
    if inside := [item.name for item in items if item.path is None and item.stamp]:
        raise InputError(
            f"{len(inside)} images lie inside archives, which a cluster does not open.",
            rows=inside,
            fix="extract them, or predict without --engine ray.",
        )
    files = [item.path for item in items if item.path is not None and item.path.is_file()]
    always = [member.folder / "bundle.json" for member in members]
    check_nodes(cluster, files, [], always=always)


def predict_on(
    executor: Executor, model: Model, items: Sequence[Item], *, jobs: int = 2
) -> Iterator[Done]:
    """Yield what is said of each item, in order; see `bundle.stream.predict_items`.

    Args:
        jobs: threads of a task that read.

    Raises:
        TaskLost: a task was lost more often than it is tried.
    """
    size = _BATCHES * stream.BATCH
    starts = iter(range(0, len(items), size))
    under_way: deque[tuple[Hashable, Sequence[Item]]] = deque()

    def hand_out() -> None:
        while len(under_way) < _AHEAD * executor.slots:
            if (start := next(starts, None)) is None:
                return
            part = items[start : start + size]
            sent = [(item.name, item.path, None if item.path else item.read) for item in part]
            under_way.append((executor.submit(predict_part, model, sent, jobs), part))

    hand_out()
    while under_way:
        ticket, part = under_way.popleft()
        executor.wait([ticket])
        rows = executor.result(ticket)
        hand_out()
        for item, row in zip(part, rows, strict=True):
            yield Done(item, row)


def predict_part(
    model: Model,
    sent: Sequence[tuple[str, Path | None, Callable[[], Image] | None]],
    jobs: int,
) -> list[Row]:
    """Predict some images in a worker: (name, file, or what says why there is none)."""
    items = []
    for name, path, read in sent:
        if path is not None:
            read = partial(read_file, path)
        assert read is not None, "a file, or a reason"
        items.append(Item(name, read, path))
    return [done.row for done in predict_items(model.load(), items, jobs=jobs)]
