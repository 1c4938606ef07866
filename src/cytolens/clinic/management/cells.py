"""CSV that a spreadsheet opens without running what a cell says."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV table, RFC 4180, the head first."""
    yield _line(head)
    for row in rows:
        yield _line(row)


def _line(cells: Iterable[Any]) -> str:
    target = io.StringIO()
    csv.writer(target).writerow([_cell(cell) for cell in cells])
    return target.getvalue()


def _cell(value: Any) -> Any:
    """Return a cell; text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
