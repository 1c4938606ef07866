"""The audit log as an administrator reads it: search, verify, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cytolens.clinic import trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management.cells import csv_lines
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Entry

PAGE = 50
FORMATS = ("csv", "jsonl")
FIELDS = (
    "id", "at", "user_id", "username", "role", "action", "kind", "key", "site_id", "bundle",
    "address", "details", "previous", "hash",
)  # fmt: skip
_CHUNK = 1000


@dataclass(frozen=True)
class Filters:
    """Which lines are asked for; "" and None ask for all.

    Attributes:
        since, until: moments; `until` is not included.
        user: a part of the username.
        action: as it is written, or its beginning ("case.").
        kind, key: the object: "case" and its id.
    """

    since: datetime | None = None
    until: datetime | None = None
    user: str = ""
    action: str = ""
    kind: str = ""
    key: str = ""


@dataclass(frozen=True)
class EntryPage:
    """A page of lines, the newest first; `total` of all that were asked for."""

    entries: list[Entry]
    total: int
    page: int
    pages: int


@dataclass(frozen=True)
class Verified:
    """What going through the whole log found: its number of lines, and the first flaw."""

    lines: int
    flaw: trail.Flaw | None


def search(db: Session, actor: Actor, filters: Filters, page: int = 1) -> EntryPage:
    """Return a page of the lines that are asked for, the newest first; from page 1."""
    actor.must(Action.READ_AUDIT)
    wanted = _conditions(filters)
    total = db.scalar(select(func.count()).select_from(Entry).where(*wanted)) or 0
    pages = max(1, -(-total // PAGE))
    page = min(max(1, page), pages)
    asked = select(Entry).where(*wanted).order_by(Entry.id.desc())
    found = db.scalars(asked.limit(PAGE).offset((page - 1) * PAGE)).all()
    return EntryPage(list(found), total, page, pages)


def actions(db: Session, actor: Actor) -> list[str]:
    """Return every action that occurs."""
    actor.must(Action.READ_AUDIT)
    return list(db.scalars(select(Entry.action).distinct().order_by(Entry.action)))


def verify(installation: Installation, actor: Actor) -> Verified:
    """Go through the whole log; that it was done is a line too."""
    actor.must(Action.READ_AUDIT)
    with installation.reading() as db:
        lines, flaw = trail.verify(db, installation.head)
    with installation.writing() as db:
        trail.record(
            db, actor, "audit.verified", "entry", lines, flaw="" if flaw is None else flaw.what
        )
    return Verified(lines, flaw)


def export(
    installation: Installation, actor: Actor, filters: Filters, format: str
) -> Iterator[str]:
    """Yield the lines that are asked for in their order, as text; that it was done is a line too.

    Args:
        format: "csv", or "jsonl": an object a line. Both hold the hashes; with the whole log in
            JSON lines and the installation's secret, the chain can be checked elsewhere.

    Raises:
        Refused: another format.
    """
    actor.must(Action.READ_AUDIT)
    if format not in FORMATS:
        raise Refused(f"{format!r} is no format of the audit log.", expected="csv or jsonl")
    with installation.writing() as db:
        last = trail.record(
            db, actor, "audit.exported", "entry", "", format=format,
            filters={k: str(v) for k, v in vars(filters).items() if v},
        ).id  # fmt: skip
    rows = _rows(installation, filters, last)
    if format == "csv":
        return csv_lines(FIELDS, ([_text(row[name]) for name in FIELDS] for row in rows))
    return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _rows(installation: Installation, filters: Filters, last: int) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        with installation.reading() as db:
            asked = select(Entry).where(*_conditions(filters), Entry.id > after, Entry.id <= last)
            found = db.scalars(asked.order_by(Entry.id).limit(_CHUNK)).all()
        for entry in found:
            yield {name: getattr(entry, name) for name in FIELDS} | {"at": entry.at.isoformat()}
        if len(found) < _CHUNK:
            return
        after = found[-1].id


def _text(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.since is not None:
        conditions.append(Entry.at >= filters.since)
    if filters.until is not None:
        conditions.append(Entry.at < filters.until)
    if filters.user:
        conditions.append(Entry.username.contains(filters.user.lower(), autoescape=True))
    if filters.action:
        conditions.append(Entry.action.startswith(filters.action, autoescape=True))
    if filters.kind:
        conditions.append(Entry.kind == filters.kind)
    if filters.key:
        conditions.append(Entry.key == filters.key)
    return conditions
