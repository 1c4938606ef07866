"""The database: SQLite (WAL) or PostgreSQL, read and written in explicit transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from cytolens.clinic.errors import Conflict
from cytolens.clinic.folding import SQLITE, fold
from cytolens.clinic.tables.kept import REFUSED
from cytolens.core.errors import InputError

_BUSY_SECONDS = 20
_CACHE_KIB = 16_384  # of each connection, of SQLite
_SHARED: dict[str, Any] = {
    "pool_size": 10,
    "max_overflow": 20,
    "hide_parameters": True,  # a patient's name has no place in the server's log
}


class Database:
    """One database.

    Args:
        url: as SQLAlchemy writes it; `postgresql://` is served by psycopg.
        info: what every session carries (`Session.info`).

    Raises:
        InputError: a URL that is none, or of a database that is not supported.
    """

    def __init__(self, url: str, info: dict[str, Any] | None = None) -> None:
        self.url = url
        self.engine = _engine(url)
        self._info = info or {}

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session to read from; what is changed in it is dropped."""
        with Session(self.engine, info=dict(self._info), expire_on_commit=False) as db:
            yield db
            db.expunge_all()  # what was loaded stays readable
            db.rollback()

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that is committed at the end, or rolled back on any error.

        SQLite: the write lock is taken at once, so that nobody waits in vain for another.

        Raises:
            Conflict: somebody else changed the same thing meanwhile, or made it already; or others
                write so much that the turn did not come, or two stood in each other's way.
        """
        with Session(self.engine, info=dict(self._info), expire_on_commit=False) as db:
            try:
                if self.is_sqlite:
                    db.connection(execution_options={"immediate": True})
                yield db
                db.commit()
            except StaleDataError as error:
                raise Conflict(
                    "Somebody else changed this meanwhile; nothing of yours was kept.",
                    fix="look at it again, then repeat what still applies.",
                ) from error
            except IntegrityError as error:
                if REFUSED in str(error.orig):  # a fault of the program, and nobody else's doing
                    raise
                raise Conflict(
                    "This exists already, or somebody else made it at the same moment.",
                    fix="look at what is there now.",
                ) from error
            except OperationalError as error:
                if not _in_the_way(error):
                    raise
                raise Conflict(
                    "Too much is written at this moment; nothing of yours was kept.",
                    fix="try again in some seconds.",
                ) from error

    def close(self) -> None:
        self.engine.dispose()


def _in_the_way(error: OperationalError) -> bool:
    """Tell whether others' transactions are the cause: SQLite's lock, PostgreSQL's deadlock."""
    state = getattr(error.orig, "sqlstate", None)  # 40P01 deadlock, 40001 serialisation, 55P03 lock
    return state in ("40P01", "40001", "55P03") or "database is locked" in str(error.orig)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError(
            "The database URL cannot be read.",
            expected="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME",
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise InputError(
            f"The database {parsed.get_backend_name()!r} is not supported.",
            expected="sqlite or postgresql",
        )
    try:
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, **_SHARED)
        engine = create_engine(
            parsed,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
            **_SHARED,
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise InputError(
            "The driver of this database is not installed.",
            fix="pip install 'cytolens[postgresql]'",
        ) from error
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, record: Any) -> None:
    del record
    connection.isolation_level = None  # transactions begin where we say, see `_begin_sqlite`
    connection.create_function(SQLITE, 1, fold, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a commit outlives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
