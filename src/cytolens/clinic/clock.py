"""The one place where the clinic reads the time."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)
