"""What does tasks: processes of this machine, or a Ray cluster. The same for whoever hands out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from types import TracebackType
from typing import Any, Protocol

from cytolens.core.errors import InputError


class TaskLost(InputError):
    """The process at work on a task ended from outside, more often than a task is tried."""


class Executor(Protocol):
    """Does tasks. Leaving the `with` block by an error ends all of them at once.

    Attributes:
        slots: tasks at the same time.
        threads: of torch and BLAS in a task; last digits hold for the same number.
        said: what it is, for the notes of a run.
        loses_one: whether a process that is ended costs its own task alone.
    """

    slots: int
    threads: int
    said: str
    loses_one: bool

    def __enter__(self) -> Executor: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def share(self, value: Any) -> Any:
        """Return what stands for a large value among the arguments of several tasks."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Hashable:
        """Hand out a task and return its ticket.

        Args:
            function: of a module, so that other processes can import it.
            args: what can be pickled.
        """

    def wait(self, tickets: Collection[Hashable], seconds: float | None = None) -> set[Hashable]:
        """Wait until a task has ended, or so long; return the tickets of those that have."""

    def result(self, ticket: Hashable) -> Any:
        """Return what an ended task returned.

        Raises:
            TaskLost: its process was ended.
            Exception: what the task raised.
        """
