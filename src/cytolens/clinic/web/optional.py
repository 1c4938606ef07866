"""What a form or an address may leave empty: "" is nothing, as browsers send it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from cytolens.clinic.errors import Refused

_FIRST, _LAST = 1900, 2200  # years; beyond them a day more is no day


def day(text: str, name: str) -> date | None:
    """Return a day, or None for "".

    Raises:
        Refused: something else than a day.
    """
    if not text.strip():
        return None
    try:
        found = date.fromisoformat(text.strip())
        if not _FIRST <= found.year <= _LAST:
            raise ValueError("a slip of the hand")
        return found
    except ValueError as error:
        raise Refused(f"{name}: {text[:40]!r} is no day.", expected="2026-11-30") from error


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


def start(of: date | None) -> datetime | None:
    """Return the first moment of a day, UTC."""
    return None if of is None else datetime.combine(of, time.min, UTC)


def end(of: date | None) -> datetime | None:
    """Return the first moment after a day, UTC."""
    return None if of is None else datetime.combine(of + timedelta(days=1), time.min, UTC)
