"""That somebody looked at a record is traced, once while they work on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Entry

AGAIN = timedelta(minutes=15)


def trace_view(
    clinic: Installation, actor: Actor, kind: str, key: int, site: int, *, shown: bool | None = None
) -> None:
    """Add the line "case.viewed" (or of another kind) unless this account has one of late.

    Stepping through the images of a case is one visit: the same line is written again after 15
    minutes, or when the findings are shown for the first time.

    Args:
        shown: whether the findings of a case were shown; None: it has none.
    """
    details: dict[str, Any] = {} if shown is None else {"findings": shown}
    with clinic.reading() as db:
        late = db.scalars(
            select(Entry.details).where(
                Entry.at > clock.now() - AGAIN,
                Entry.user_id == actor.user,
                Entry.action == f"{kind}.viewed",
                Entry.key == str(key),
            )
        )
        if details in list(late):
            return
    with clinic.writing() as db:
        trail.record(db, actor, f"{kind}.viewed", kind, key, site=site, **details)
