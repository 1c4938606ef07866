"""The processes that train one network together, each on its share of every batch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cytolens.training.synced import release, synchronise

_PATIENCE = timedelta(days=1)  # a rank that is lost is noticed by who started it, not by waiting

Anything = TypeVar("Anything")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; alone, everything below does nothing.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    @contextlib.contextmanager
    def meet(cls, meeting: Path | None, rank: int, size: int) -> Iterator[Ranks]:
        """Wait for the others and stay together: each on a GPU of its own, else on the processor.

        Args:
            meeting: a file that is not there yet, the same for all; None: where torchrun says.
        """
        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(rank if meeting else int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=f"file://{meeting.absolute()}" if meeting else "env://",
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
        try:
            yield cls(rank, size)
        finally:
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of a batch that this process takes, each row once among all."""
        return rows[self.rank :: self.size]

    def together(self, model: nn.Module, *, idle: bool = False) -> nn.Module:
        """Return what to call in training, so that gradients are means over the processes.

        Batch norm that learns its statistics takes them over the whole batch (`synced`).

        Args:
            idle: whether some trained parameter may take no part.
        """
        if self.size == 1:
            return model
        synchronise(model)
        return DistributedDataParallel(model, find_unused_parameters=idle)

    def apart(self, model: nn.Module) -> None:
        """Make a model that was trained `together` an ordinary one again."""
        if self.size > 1:
            release(model)

    def sum(self, *values: float) -> list[float]:
        """Return each value summed over the processes, the same bits in all of them."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=_device())
        distributed.all_reduce(total)
        return [float(value) for value in total]

    def same(self, value: Anything) -> Anything:
        """Return the first process's value, whatever the others give."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        distributed.broadcast_object_list(box, src=0, device=_device())
        found: Anything = box[0]
        return found


ALONE = Ranks()


def started_by_torchrun() -> tuple[int, int] | None:
    """Return rank and number of processes if torchrun started this one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _device() -> torch.device:
    """Return where the backend of this process reduces."""
    return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
