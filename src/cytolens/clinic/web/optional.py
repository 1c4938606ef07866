"""What a form or an address may leave empty: "" is nothing, as browsers send it."""

from __future__ import annotations

from datetime import date

from cytolens.clinic import days
from cytolens.clinic.errors import Refused


def day(text: str, name: str) -> date | None:
    """Return a day, or None for "".

    Raises:
        Refused: something else than a day, or one of long ago or far ahead.
    """
    if not text.strip():
        return None
    try:
        found = date.fromisoformat(text.strip())
        if not days.FIRST <= found <= days.LAST:
            raise ValueError("a slip of the hand")
        return found
    except ValueError as error:
        raise Refused(f"{name}: {text[:40]!r} is no day.", expected="such as 2026-11-30") from error


def whole(text: str, name: str) -> int | None:
    """Return a whole number, or None for "".

    Raises:
        Refused: something else.
    """
    if not text.strip():
        return None
    try:
        return int(text)
    except ValueError as error:
        raise Refused(f"{name}: {text[:40]!r} is no whole number.") from error
