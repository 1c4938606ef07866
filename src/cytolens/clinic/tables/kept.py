"""What the database itself refuses to change: triggers on rows that the program never changes.

They stop a script, a slip at the database's prompt and a fault of the program. Who owns the
database can take them away; `flaws` tells, and the audit log's chain stands behind them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, UniqueConstraint, event, text
from sqlalchemy import Table as AnyTable

from cytolens.clinic.tables.base import Table
from cytolens.clinic.tables.cases import Case, Patient, QualityDraw, Reading, Report
from cytolens.clinic.tables.inference import Finding, Image, Model, Overlay
from cytolens.clinic.tables.people import Site, User
from cytolens.clinic.tables.records import Entry

REFUSED = "are never changed or deleted"  # ends what the database says
_FUNCTION = "cytolens_refuse"
_BODY = f"""
BEGIN
  RAISE EXCEPTION 'rows of % {REFUSED}', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
"""


@dataclass(frozen=True)
class Kept:
    """A table whose rows are never deleted.

    Attributes:
        fixed: columns that are never changed; None: all.
        once: columns that are changed only while they are empty.
        unique: what else than `id` is unique: SQLite's `INSERT OR REPLACE` deletes by it, and no
            trigger of a deletion sees that.
    """

    table: str
    fixed: tuple[str, ...] | None = None
    once: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()


def _kept(
    of: type[Table],
    *,
    free: tuple[str, ...] = (),
    once: tuple[str, ...] = (),
    fixed: tuple[str, ...] | None = None,
) -> Kept:
    table = of.__table__
    assert isinstance(table, AnyTable)
    names = tuple(column.name for column in table.columns)
    assert set(names) >= {*free, *once, *(fixed or ())}
    if fixed is None and (free or once):
        fixed = tuple(name for name in names if name not in (*free, *once))
    unique = [
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    return Kept(table.name, fixed, once, tuple(sorted(unique)))


KEPT = (
    _kept(Entry),
    _kept(Report),
    _kept(Reading),
    _kept(Finding),
    _kept(Overlay),
    _kept(Image, once=("removed_at",)),  # `management.retention`
    _kept(QualityDraw, once=("reading_id",)),
    _kept(Model, free=("status", "activated_at", "retired_at")),
    *(_kept(of, fixed=("id",)) for of in (Case, Patient, User, Site)),
)


def statements(kept: Kept, dialect: str) -> dict[str, str]:
    """Return what makes the triggers of a table, by their names.

    Args:
        dialect: "sqlite" or "postgresql".
    """
    made = _sqlite(kept) if dialect == "sqlite" else _postgresql(kept)
    return {f"kept_{kept.table}_{what}": body for what, body in made.items()}


def make(connection: Connection, tables: Iterable[Kept]) -> None:
    """Make the triggers of some tables, in place of those of the same names."""
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(
            text(
                f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
                f"AS $${_BODY}$$"
            )
        )
    for kept in tables:
        on = f' ON "{kept.table}"' if dialect == "postgresql" else ""
        for name, statement in statements(kept, dialect).items():
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{on}"))
            connection.execute(text(statement))


def flaws(connection: Connection) -> list[str]:
    """Return a sentence for each trigger that is missing, turned off, or not as it was made."""
    dialect = connection.dialect.name
    found = _found_sqlite(connection) if dialect == "sqlite" else _found_postgresql(connection)
    said = []
    for kept in KEPT:
        for name, statement in statements(kept, dialect).items():
            there = found.get(name)
            if there is None:
                said.append(f"the trigger {name} is missing")
            elif there == "":
                said.append(f"the trigger {name} is turned off")
            elif there != _plain(statement):
                said.append(f"the trigger {name} is not as it was made")
    return said


def _sqlite(kept: Kept) -> dict[str, str]:
    def trigger(what: str, when: str, condition: str, said: str) -> str:
        return (
            f'CREATE TRIGGER kept_{kept.table}_{what} BEFORE {when} ON "{kept.table}"'
            f"{condition and ' WHEN ' + condition} BEGIN SELECT RAISE(ABORT, '{said}'); END"
        )

    refused = f"rows of {kept.table} {REFUSED}"
    there = f"a row of {kept.table} is there already"
    keys = (" AND ".join(f"{name} = NEW.{name}" for name in k) for k in (("id",), *kept.unique))
    same = [f'EXISTS (SELECT 1 FROM "{kept.table}" WHERE {key})' for key in keys]  # noqa: S608
    made = {
        "delete": trigger("delete", "DELETE", "", refused),
        "replace": trigger("replace", "INSERT", " OR ".join(same), there),
    }
    if kept.fixed is None:
        made["update"] = trigger("update", "UPDATE", "", refused)
    else:
        changes = [f"NEW.{name} IS NOT OLD.{name}" for name in kept.fixed]
        changes += [
            f"(OLD.{name} IS NOT NULL AND NEW.{name} IS NOT OLD.{name})" for name in kept.once
        ]
        made["update"] = trigger("update", "UPDATE", " OR ".join(changes), refused)
        # `UPDATE OR REPLACE` deletes the row that the changed one collides with.
        collides = [
            f"({_changed(key)} AND {other})"
            for key, other in zip(kept.unique, same[1:], strict=True)
            if not set(key) <= set(kept.fixed)
        ]
        if collides:
            made["collide"] = trigger("collide", "UPDATE", " OR ".join(collides), there)
    return made


def _changed(key: tuple[str, ...]) -> str:
    return "(" + " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in key) + ")"


def _postgresql(kept: Kept) -> dict[str, str]:
    def trigger(what: str, when: str, each: str, condition: str = "") -> str:
        return (
            f'CREATE TRIGGER kept_{kept.table}_{what} BEFORE {when} ON "{kept.table}" '
            f"FOR EACH {each}{condition and f' WHEN ({condition})'} EXECUTE FUNCTION {_FUNCTION}()"
        )

    made = {
        "delete": trigger("delete", "DELETE", "ROW"),
        "truncate": trigger("truncate", "TRUNCATE", "STATEMENT"),
    }
    if kept.fixed is None:
        made["update"] = trigger("update", "UPDATE", "ROW")
    else:
        columns = ", ".join(f'"{name}"' for name in kept.fixed)
        made["update"] = trigger("update", f"UPDATE OF {columns}", "ROW")
    for name in kept.once:
        made[name] = trigger(name, f"UPDATE OF {name}", "ROW", f"OLD.{name} IS NOT NULL")
    return made


def _found_sqlite(connection: Connection) -> dict[str, str]:
    asked = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {name: _plain(sql) for name, sql in connection.execute(asked)}


def _found_postgresql(connection: Connection) -> dict[str, str]:
    """Return the triggers; "" for one that does not work."""
    asked = text(
        "SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled::text, p.prosrc "
        "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"
    )
    return {
        name: "" if enabled not in ("O", "A") else _plain(made) if body == _BODY else "another"
        for name, made, enabled, body in connection.execute(asked)
    }


def _plain(statement: str) -> str:
    """Return a statement without what databases write in more than one way."""
    statement = statement.replace('"', "")
    for sign in "();":
        statement = statement.replace(sign, " ")
    return " ".join(statement.lower().split())


@event.listens_for(Table.metadata, "after_create")
def _with_the_tables(target: object, connection: Connection, **kwargs: object) -> None:
    del target, kwargs
    make(connection, KEPT)
