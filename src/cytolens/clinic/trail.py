"""The audit log: lines are added, never changed, and each is bound to the one before.

A line's hash is HMAC-SHA256, keyed with the installation's secret, over its content and the hash
before: who can write to the database alone can neither change, drop nor reorder a line unseen.
The last line's hash stands also in a file beside the database, so that lines cut off at the end
are missed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.clock import now
from cytolens.clinic.tables import Entry
from cytolens.core.files import lock, read_json, write_json

FIRST = "0" * 64
KEY = "trail key"  # in `Session.info`
HEAD = "trail head"
_PAGE = 1000  # lines read at a time
_LOCK = 0x63796C65  # of PostgreSQL: one writer at a time
_FIELDS = (
    "id", "at", "user_id", "username", "role", "action", "kind", "key", "site_id", "bundle",
    "address", "details", "previous",
)  # fmt: skip


@dataclass(frozen=True)
class Flaw:
    """Where the log is not what was written.

    Attributes:
        line: number of the first line concerned.
        what: sentence.
    """

    line: int
    what: str


def record(
    db: Session,
    actor: Actor,
    action: str,
    kind: str,
    key: object,
    *,
    site: int | None = None,
    bundle: str = "",
    **details: Any,
) -> Entry:
    """Add a line within the transaction of what it tells of.

    Args:
        action: "case.signed": object and past participle.
        kind, key: the object concerned: its table and id.
        details: plain data; never a password, a token or a patient's name.
    """
    take_turn(db)
    db.flush()
    last = db.execute(select(Entry.id, Entry.hash).order_by(Entry.id.desc()).limit(1)).first()
    entry = Entry(
        id=1 if last is None else last.id + 1,
        at=now(),
        user_id=actor.user,
        username=actor.username,
        role=str(actor.role or "system"),
        action=action,
        kind=kind,
        key=str(key),
        site_id=site,
        bundle=bundle,
        address=actor.address,
        details=details,
        previous=FIRST if last is None else last.hash,
    )
    entry.hash = line_hash(entry, db.info[KEY])
    db.add(entry)
    db.flush()
    db.info[HEAD] = (entry.id, entry.hash)
    return entry


def take_turn(db: Session) -> None:
    """Wait until no other transaction that adds a line is under way; until the end of this one.

    `record` does it. Who also changes rows that others change in theirs does it first, so that
    both lock in the same order.
    """
    if db.get_bind().dialect.name == "postgresql":
        db.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def line_hash(entry: Entry, key: bytes) -> str:
    """Return the hash of a line: HMAC-SHA256 over its content as canonical JSON."""
    content = {name: getattr(entry, name) for name in _FIELDS}
    content["at"] = entry.at.isoformat()
    line = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hmac.new(key, line.encode("utf-8"), hashlib.sha256).hexdigest()


def verify(db: Session, head: Path | None = None) -> tuple[int, Flaw | None]:
    """Go through the whole log; return the number of lines, and the first flaw or None."""
    previous, count = FIRST, 0
    kept = _read_head(head)
    for entry in _entries(db):
        count += 1
        if entry.id != count:
            return count, Flaw(count, f"line {count} is missing: {entry.id} comes next")
        if entry.previous != previous:
            return count, Flaw(count, f"line {count} does not follow the line before it")
        if not hmac.compare_digest(entry.hash, line_hash(entry, db.info[KEY])):
            return count, Flaw(count, f"line {count} was changed")
        if kept and kept[0] == count and kept[1] != entry.hash:
            return count, Flaw(count, f"line {count} is not the one that was written last")
        previous = entry.hash
    if kept and kept[0] > count:
        return count, Flaw(count + 1, f"lines {count + 1} to {kept[0]} were cut off")
    return count, None


def _entries(db: Session) -> Iterator[Entry]:
    """Yield all lines in order, a page at a time."""
    after: int | None = None
    while True:
        asked = select(Entry).order_by(Entry.id).limit(_PAGE)
        found = db.scalars(asked if after is None else asked.where(Entry.id > after)).all()
        yield from found
        if len(found) < _PAGE:
            return
        after = found[-1].id
        db.expunge_all()


def keep_head(path: Path, head: tuple[int, str]) -> None:
    """Write the last line's number and hash beside the database; an older one never wins."""
    with lock(path.with_suffix(".lock"), "", wait=True):
        kept = _read_head(path)
        if kept is None or kept[0] < head[0]:
            write_json(path, {"line": head[0], "hash": head[1]})


def is_of(db: Session, head: Path) -> bool:
    """Tell whether a database holds the line that was kept beside it as the last one."""
    kept = _read_head(head)
    return kept is None or db.scalar(select(Entry.hash).where(Entry.id == kept[0])) == kept[1]


def _read_head(path: Path | None) -> tuple[int, str] | None:
    if path is None or not path.exists():
        return None
    content = read_json(path, "head of the audit log")
    return int(content["line"]), str(content["hash"])
