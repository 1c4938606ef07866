"""Names as people look for them: without regard to case and accents, on both databases."""

from __future__ import annotations

import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

SQLITE = "cytolens_folded"  # the name of `fold` in SQLite, see `Database`


def _plain(letter: str) -> str:
    apart = unicodedata.normalize("NFD", letter)
    return "".join(one for one in apart if not unicodedata.combining(one))


_LATIN = [*map(chr, range(0xC0, 0x250)), *map(chr, range(0x1E00, 0x1F00))]
_BARE = {letter: _plain(letter) for letter in _LATIN if len(_plain(letter)) == 1}
_TABLE = str.maketrans(_BARE)


def fold(text: str | None) -> str | None:
    """Return a text without the accents of Latin letters, in lower case: "Álvarez" → "alvarez"."""
    if text is None:
        return None
    if text.isascii():  # nothing to bare; a search asks for every patient
        return text.lower()
    return text.translate(_TABLE).lower()


class folded(FunctionElement[str]):
    """What `fold` makes of a column, computed by the database.

    Letters of other scripts PostgreSQL sets in lower case where its locale knows how.
    """

    name = "folded"
    type = Text()
    inherit_cache = True

    def __init__(self, column: ColumnElement[str] | InstrumentedAttribute[str]) -> None:
        super().__init__(column)


@compiles(folded, "sqlite")
def _on_sqlite(element: folded, compiler: SQLCompiler, **how: Any) -> str:
    """Ask Python only for what is not plain ASCII: SQLite's own `lower` is quick, and like it."""
    column = compiler.process(element.clauses, **how)
    return f"CASE WHEN {column} GLOB '*[^ -~]*' THEN {SQLITE}({column}) ELSE lower({column}) END"


@compiles(folded, "postgresql")
def _on_postgresql(element: folded, compiler: SQLCompiler, **how: Any) -> str:
    column = compiler.process(element.clauses, **how)
    return f"lower(translate({column}, '{''.join(_BARE)}', '{''.join(_BARE.values())}'))"
