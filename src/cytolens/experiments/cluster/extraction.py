"""Features computed by shards of images, each a task; the rest finds them in the store."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from cytolens.core.progress import Progress
from cytolens.experiments.cluster.executor import Executor
from cytolens.experiments.learning.frozen import Frozen, Shard
from cytolens.features.store import Store

_A_SLOT = 4  # shards, so that a slow or lost one costs little
_LEAST, _MOST = 32, 4096  # rows a shard: each builds the network once
_AHEAD = 2  # shards a slot that are handed out


@dataclass(frozen=True)
class Extracted:
    """What came of it.

    Attributes:
        rows: that were asked for.
        computed: those that the store did not have.
        shards: tasks that computed them; 0 where this process did.
    """

    rows: int = 0
    computed: int = 0
    shards: int = 0

    @property
    def reused(self) -> int:
        return self.rows - self.computed

    @property
    def said(self) -> str:
        return (
            f"features of {self.computed} images and views computed beforehand in {self.shards} "
            f"shards, {self.reused} found in the store"
        )


def extract(frozen: Frozen | None, executor: Executor, progress: Progress) -> Extracted:
    """Compute on a cluster what some folds need and the store does not have.

    This process holds the spaces of the store meanwhile, so that nobody computes a row twice. A
    shard that is done again after its worker was lost computes what is still missing of it.

    Raises:
        TaskLost: a shard was lost more often than it is tried.
        InputError: images or weights that a node finds changed, a full disk.
    """
    if frozen is None or not (count := frozen.missing()):
        return Extracted(frozen.asked if frozen else 0)
    size = min(_MOST, max(_LEAST, math.ceil(count / (_A_SLOT * executor.slots))))
    name = f"features, {executor.slots} shards at a time"
    with frozen.filling(), progress.task(name, count) as step:
        waiting = frozen.shards(size)
        under_way: dict[Hashable, int] = {}
        computed, shards, more = 0, 0, True
        while more or under_way:
            while more and len(under_way) < _AHEAD * executor.slots:
                if more := (shard := next(waiting, None)) is not None:
                    under_way[executor.submit(compute, shard)] = shard.rows
                    shards += 1
            for ticket in executor.wait(list(under_way)) if under_way else ():
                computed += executor.result(ticket)
                for _ in range(under_way.pop(ticket)):
                    step()
    return Extracted(frozen.asked, computed, shards)


def compute(shard: Shard) -> int:
    """Compute a shard in a worker; return the number of rows that were missing."""
    return shard.compute(Store())
