"""Rows of a table as JSON lines, the same from every database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Date, Integer, func, insert, select, text
from sqlalchemy import Table as AnyTable

from cytolens.clinic.tables import Moment
from cytolens.core.errors import InputError

_AT_ONCE = 1000


def lines(connection: Connection, table: AnyTable) -> Iterator[str]:
    """Yield each row as a line, in the order of the primary key."""
    asked = select(table).order_by(*table.primary_key.columns)
    found = connection.execute(asked, execution_options={"yield_per": _AT_ONCE})
    for row in found.mappings():
        content = {name: _plain(value) for name, value in row.items()}
        yield json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def put(connection: Connection, table: AnyTable, given: Iterable[str]) -> int:
    """Add the rows of these lines, and return how many there were.

    Raises:
        InputError: a line that is no row of the table.
    """
    rows, count = (_row(table, line) for line in given), 0
    while some := list(islice(rows, _AT_ONCE)):
        connection.execute(insert(table), some)
        count += len(some)
    return count


def go_on_counting(connection: Connection, table: AnyTable) -> None:
    """Let PostgreSQL number new rows after the ones that were put in."""
    if connection.dialect.name != "postgresql":
        return
    numbered = table.autoincrement_column
    if numbered is None or not isinstance(numbered.type, Integer):
        return
    last = connection.scalar(select(func.max(numbered)))
    if last is not None:
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence(:name, :column), :last)"),
            {"name": name, "column": numbered.name, "last": last},
        )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date too


def _row(table: AnyTable, line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
        if set(content) != set(table.columns.keys()):
            raise ValueError("other columns")
        return {name: _typed(table, name, value) for name, value in content.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"A row of the table {table.name} cannot be read: {error}.") from error


def _typed(table: AnyTable, name: str, value: Any) -> Any:
    kind = table.columns[name].type
    if value is None:
        return None
    if isinstance(kind, Moment):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(kind, Date) else value
