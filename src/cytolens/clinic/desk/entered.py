"""What people type: trimmed, measured and refused before it reaches the database."""

from __future__ import annotations

import unicodedata
from datetime import date

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from cytolens.clinic import days
from cytolens.clinic.errors import Refused
from cytolens.clinic.folding import fold, folded

_LARGEST = 2**31 - 1  # of the databases' integer keys


def line(value: str, what: str, most: int, *, required: bool = False) -> str:
    """Return one line of text: NFC, runs of white space as one space.

    Raises:
        Refused: empty though required, longer than `most`, characters that are no text.
    """
    return _measured(" ".join(_clean(value, what).split()), what, most, required)


def text(value: str, what: str, most: int = 10_000) -> str:
    """Return text of several lines: NFC, line ends as "\\n", trimmed.

    Raises:
        Refused: longer than `most`, characters that are no text.
    """
    return _measured(_clean(value, what).strip(), what, most, False)


def past(value: date | None, what: str, today: date) -> date | None:
    """Return a date that may lie between 1850 and today.

    Raises:
        Refused: it does not.
    """
    if value is not None and not days.FIRST <= value <= today:
        raise Refused(f"{what}: {value.isoformat()} cannot be.", expected="a day of the past")
    return value


def is_key(value: int) -> bool:
    """Tell whether a number can be the key of a row; others overflow the databases' integers."""
    return 0 < value <= _LARGEST


def begins(
    column: InstrumentedAttribute[str], value: str, *, within: bool = False
) -> ColumnElement[bool]:
    """Return the condition that a column begins with (or contains) a text, see `folding`."""
    wanted = fold(value) or ""
    if within:
        return folded(column).contains(wanted, autoescape=True)
    return folded(column).startswith(wanted, autoescape=True)


def _clean(value: str, what: str) -> str:
    value = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            raise Refused(
                f"{what} holds a character that is no text: U+{ord(character):04X}.",
                fix="type it anew instead of pasting it.",
            )
    return value


def _measured(value: str, what: str, most: int, required: bool) -> str:
    if required and not value:
        raise Refused(f"{what} is missing.", fix="enter it.")
    if len(value) > most:
        raise Refused(f"{what} is too long: {len(value)} characters.", expected=f"at most {most}")
    return value
