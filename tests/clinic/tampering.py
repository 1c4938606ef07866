"""Changes what the database refuses to change, as somebody would who owns it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session


@contextmanager
def unguarded(on: Connection | Session) -> Iterator[None]:
    """Let this transaction change and delete any row; the triggers stand again after."""
    connection = on.connection() if isinstance(on, Session) else on
    postgresql = connection.dialect.name == "postgresql"
    triggers = []
    if postgresql:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    else:
        asked = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = [tuple(row) for row in connection.execute(asked)]
        for name, _ in triggers:
            connection.execute(text(f"DROP TRIGGER {name}"))
    yield
    if isinstance(on, Session):
        on.flush()
    if postgresql:
        connection.execute(text("SET LOCAL session_replication_role = origin"))
    for _, statement in triggers:
        connection.execute(text(statement))
