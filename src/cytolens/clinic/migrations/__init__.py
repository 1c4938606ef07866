"""The database's versions: from an empty one, or an older one, to what the tables say.

A version is a file of `versions/`, applied in one transaction; the database keeps the last one's
name. Nothing here reads a configuration file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from cytolens.clinic.database import Database
from cytolens.clinic.tables import Table, kept
from cytolens.core.errors import InputError

_LOCK = 0x6D696772  # of PostgreSQL: one upgrade at a time
_TABLE = "alembic_version"


class State(StrEnum):
    """How a database stands to this version of the program."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def state(database: Database) -> State:
    """Return how the database stands to this version.

    Raises:
        InputError: it cannot be reached.
    """
    try:
        with database.engine.connect() as connection:
            return _state(connection)
    except OperationalError as error:
        raise InputError(
            f"The database cannot be opened: {error.orig}.",
            fix="check --database-url, and that the server is up.",
        ) from error


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring a database to the present version, in one transaction.

    Returns:
        its version before (None: it was empty) and now.

    Raises:
        InputError: it was made by a newer version of the program, or cannot be reached.
    """
    if state(database) is State.NEWER:
        raise _newer()
    with _alone(database) as connection:
        before = _version(connection)
        script = _script()

        def steps(revision: Any, context: MigrationContext) -> Any:
            del context
            return script._upgrade_revs("head", revision)

        with EnvironmentContext(_config(), script, fn=steps) as environment:
            environment.configure(**_settings(connection))
            environment.run_migrations()
    return before, latest()


def protect(database: Database) -> list[str]:
    """Make the triggers of rows that are never changed anew where one lacks; return the flaws."""
    with _alone(database) as connection:
        found = kept.flaws(connection)
        if found:
            kept.make(connection, kept.KEPT)
    return found


def stamp(database: Database) -> None:
    """Say of a database whose tables were made at once (`create_all`) that it is current."""
    with _alone(database) as connection:
        MigrationContext.configure(connection).stamp(_script(), "head")


def require_current(database: Database) -> None:
    """Refuse a database that is not of the present version.

    Raises:
        InputError: empty, older or newer.
    """
    found = state(database)
    if found is State.NEWER:
        raise _newer()
    if found is not State.CURRENT:
        raise InputError(
            "The database is empty."
            if found is State.EMPTY
            else "The database was made by an older version of cytolens.",
            fix="cytolens clinic upgrade",
        )


def latest() -> str:
    """Return the name of the present version."""
    head = _script().get_current_head()
    assert head is not None
    return head


def differences(database: Database) -> list[Any]:
    """Return how the database's schema differs from the tables, as Alembic tells it."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Table.metadata))


def _state(connection: Connection) -> State:
    names = set(inspect(connection).get_table_names())
    ours = names & set(Table.metadata.tables)
    version = _version(connection) if _TABLE in names else None
    if version is None:
        return State.OLDER if ours else State.EMPTY
    if version == latest():
        return State.CURRENT
    known = {script.revision for script in _script().walk_revisions()}
    return State.OLDER if version in known else State.NEWER


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """Yield a connection in a transaction that no other upgrade shares."""
    with database.engine.connect() as opened:
        connection = opened.execution_options(immediate=True) if database.is_sqlite else opened
        with connection.begin():
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection


def _settings(connection: Connection) -> dict[str, Any]:
    return {
        "connection": connection,
        "target_metadata": Table.metadata,
        "render_as_batch": connection.dialect.name == "sqlite",
        "transactional_ddl": True,
        "compare_type": True,
    }


@cache
def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files(__package__)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _newer() -> InputError:
    return InputError(
        "The database was made by a newer version of cytolens than this one.",
        fix="install that version, or restore a backup made with this one.",
    )
