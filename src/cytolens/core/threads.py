"""How many cores to use, and BLAS in the caller's own thread where a product is small."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


def cores() -> int:
    """Return how many cores this process may use: `CYTOLENS_CORES`, else all of the machine.

    A task on a cluster has a share of its node, which the node's count does not tell.
    """
    return int(os.environ.get("CYTOLENS_CORES") or os.cpu_count() or 1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS compute with one thread while the block runs; for the main thread alone.

    OpenBLAS wakes a thread a core even for a product that takes a millisecond, and these spin for
    up to 100 ms afterwards (measured: 0.9 ms of processor time become 105 ms on two cores), which
    is taken from whatever else runs.

    The number of threads belongs to the process, and OpenBLAS does not heed every thread that sets
    it (0.3.31). So nothing is done where another thread than the main one asks.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller() -> Any:
    """Return what controls the BLAS libraries that are loaded by now: numpy's is."""
    import numpy  # noqa: F401  its BLAS is what is looked for
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
