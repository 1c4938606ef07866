"""Batches of features: cut from rows, gathered from a table."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cytolens.features.table import View

Rows = NDArray[np.int64]


class Table(Protocol):
    """Where features come from: the store, or memory."""

    @property
    def stores_pixels(self) -> bool:
        """Whether rows are uint8 pixels, whose views are drawn when they are gathered."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""

    def gather(self, rows: Rows, v: View) -> NDArray[Any]:
        """Return the features of some rows in one view, [len(rows), …]."""


def cut(rows: Rows, size: int, processes: int = 1) -> list[Rows]:
    """Cut into batches; a last batch that is too small joins its neighbour.

    Too small is one image, as batch norm needs two, or fewer images than processes share it.
    """
    parts = [rows[i : i + size] for i in range(0, len(rows), size)]
    if len(parts) > 1 and len(parts[-1]) < max(2, processes):
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts


def load(table: Table, batches: list[Rows], *views: View) -> Iterator[tuple[Rows, Tensor]]:
    """Yield (rows, features [len(views) · len(rows), …]): all rows in the first view, then in the
    next. Pixels are drawn one batch ahead in a thread.
    """

    def gather(rows: Rows) -> Tensor:
        parts = [table.gather(rows, v) for v in views]
        return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts))

    if not table.stores_pixels:
        for rows in batches:
            yield rows, gather(rows)
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(gather, batches[0]) if batches else None
        for number, rows in enumerate(batches):
            assert ahead is not None
            features = ahead.result()
            if number + 1 < len(batches):
                ahead = pool.submit(gather, batches[number + 1])
            yield rows, features
