"""What the frozen encoder makes of the images: computed once, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cytolens.features.table import View
from cytolens.models.network import Trainable
from cytolens.training.batches import Table, cut, load

_BATCH = 64


class Embeddings:
    """A table in memory, gathered from as from a `FeatureTable`.

    Args:
        count: rows of the table it is made from.
        views: (rows int64 [n], features [n, …]) of each view.
    """

    stores_pixels = False

    def __init__(
        self, count: int, views: Mapping[View, tuple[NDArray[np.int64], NDArray[np.float32]]]
    ) -> None:
        self._features = {view: features for view, (_, features) in views.items()}
        self._position: dict[View, NDArray[np.int64]] = {}
        for view, (rows, _) in views.items():
            position = np.full(count, -1, dtype=np.int64)
            position[rows] = np.arange(len(rows))
            self._position[view] = position

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return next(iter(self._features.values())).shape[1:]

    def gather(self, rows: NDArray[np.int64], v: View) -> NDArray[np.float32]:
        """Return the embeddings of some rows in one view, float32 [len(rows), …]."""
        position = self._position[v][rows]
        assert (position >= 0).all(), "rows that were not embedded"
        return self._features[v][position]


def embed(
    model: Trainable, table: Table, count: int, wanted: Mapping[View, Sequence[int]]
) -> Embeddings:
    """Send rows of a table through the upper part of a network, in inference mode.

    Args:
        model: its upper part is the encoder; all of it must be on one device.
        table: prepared for what is wanted.
        count: rows of the table.
        wanted: the rows of each view.
    """
    upper = model.eval().upper
    assert upper is not None
    device = next(model.parameters()).device
    views: dict[View, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    with torch.inference_mode():
        for view, some in wanted.items():
            rows = np.asarray(some, dtype=np.int64)
            parts = [
                upper(features.to(device)).float().cpu().numpy()
                for _, features in load(table, cut(rows, _BATCH), view)
            ]
            if parts:
                views[view] = rows, np.concatenate(parts)
    return Embeddings(count, views)
