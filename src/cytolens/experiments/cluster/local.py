"""Tasks in processes of this machine, each with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from cytolens.experiments.cluster.executor import TaskLost


class LocalProcesses:
    """Processes that are started anew and end with this one; see `Executor`.

    Args:
        processes: at work at the same time.
    """

    loses_one = False

    def __init__(self, processes: int) -> None:
        self.slots = processes
        self.threads = max(1, (os.cpu_count() or 1) // processes)
        self.said = f"{processes} processes of this machine"
        self._others = set(multiprocessing.active_children())
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, context, _start, (self.threads,))

    def __enter__(self) -> LocalProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._pool.shutdown()
            return
        for process in set(multiprocessing.active_children()) - self._others:
            process.terminate()
        self._pool.shutdown(cancel_futures=True)

    def share(self, value: Any) -> Any:
        return value

    def submit(self, function: Callable[..., Any], *args: Any) -> Hashable:
        try:
            return self._pool.submit(function, *args)
        except BrokenProcessPool as error:
            raise _lost() from error

    def wait(self, tickets: Collection[Hashable], seconds: float | None = None) -> set[Hashable]:
        futures = [ticket for ticket in tickets if isinstance(ticket, Future)]
        return set(wait(futures, seconds, FIRST_COMPLETED).done)

    def result(self, ticket: Hashable) -> Any:
        assert isinstance(ticket, Future)
        try:
            return ticket.result()
        except BrokenProcessPool as error:
            raise _lost() from error


def _lost() -> TaskLost:
    return TaskLost(
        "A process that made runs was ended from outside; often the memory is used up.",
        fix="repeat the call with --jobs 1, or with fewer than now: finished runs stay.",
    )


def _start(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave with the process that started this one, which may have been killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
