"""The one place where the clinic reads the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_told: ContextVar[datetime | None] = ContextVar("told", default=None)


def now() -> datetime:
    """Return the present time, UTC."""
    return _told.get() or datetime.now(UTC)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let it be another time for what is called within: the demonstration makes its past so."""
    before = _told.set(moment)
    try:
        yield
    finally:
        _told.reset(before)
