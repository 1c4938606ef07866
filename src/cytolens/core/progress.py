"""How long work tells of itself: a task with a total and steps; silent unless somebody listens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Step = Callable[[], None]


class Progress(Protocol):
    """Listens to long work. The command line draws bars; the default is silent."""

    def task(self, name: str, total: int) -> contextlib.AbstractContextManager[Step]:
        """Open a task; the yielded function is called once a finished item, from any thread."""
        ...

    def say(self, text: str) -> None:
        """Tell one line."""
        ...


class Silent:
    """Listens and says nothing."""

    @contextlib.contextmanager
    def task(self, name: str, total: int) -> Iterator[Step]:
        del name, total
        yield lambda: None

    def say(self, text: str) -> None:
        del text
