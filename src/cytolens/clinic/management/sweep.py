"""Blobs that nothing refers to: counted, and removed once they are old enough.

A picture is stored before the transaction that names it; what is killed in between leaves a blob
that nobody will ask for. None that is being put is lost: a row names its blobs within minutes of
their being put, putting makes a blob new again, and `Blobs.delete_old` removes none that was put
later than the moment that lies before the rows were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from threading import Event

from sqlalchemy import select

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.blobs import Stored
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import ownership
from cytolens.clinic.management.retention import referred_blobs
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Entry

DAY = timedelta(days=1)
LEAST = timedelta(hours=1)  # longer than any upload needs from a blob to the row that names it
_ACTION = "blobs.swept"
_AT_ONCE = 200_000  # blobs that are looked for among the rows together
_FEW, _SHARE = 100, 0.1  # more orphans, of the store: the rows are hardly those of this store


@dataclass(frozen=True)
class Swept:
    """What a sweep found or removed.

    Attributes:
        looked: blobs of the store.
        orphans: those that nothing refers to and that are old enough; bytes: their size.
        unfinished: files of puts that were killed.
        removed: whether they are gone.
    """

    looked: int
    orphans: int
    bytes: int
    unfinished: int
    removed: bool


def sweep(
    installation: Installation,
    actor: Actor,
    *,
    older: timedelta = DAY,
    remove: bool = False,
    adopt: bool = False,
    many: bool = False,
    stop: Event | None = None,
) -> Swept:
    """Count the blobs that nothing refers to, or remove them, with a line in the audit log.

    What belongs to images that `management.retention` removed counts as referred to by nothing.

    Args:
        older: what was put later than so long ago stays.
        adopt: although the store is another installation's (`management.ownership`).
        many: although orphans are a large part of the store; a killed upload leaves a few dozen.
        stop: set by whoever cannot wait; the sweep ends soon, and the next one does the rest.

    Raises:
        Refused: less than an hour; another installation's store; a database that is not the one of
            this data folder, or an older one; a large part of the store.
        StoreAway: the store cannot be asked; what was removed until then stands in the log.
    """
    actor.must(Action.MANAGE_RETENTION)
    if older < LEAST:
        raise Refused(
            f"{older} is too short: an upload that is under way would lose its images.",
            expected=f"at least {LEAST}",
        )
    with installation.reading() as db:
        if not trail.is_of(db, installation.head):
            raise Refused(
                "The database lacks the audit line that was written last here: it is another one "
                "than this data folder's, or an older one, and knows too few of the blobs.",
                fix="check --data and --database-url; cytolens clinic verify tells more.",
            )
    ownership.check(installation, take=remove, adopt=adopt)
    before = clock.now() - older
    looked, found, stop = 0, list[Stored](), stop or Event()
    listed = takewhile(lambda _: not stop.is_set(), installation.blobs.stored())
    while some := list(islice(listed, _AT_ONCE)):
        looked += len(some)
        found += _orphans(installation, [blob for blob in some if blob.at < before])
    if not remove:
        unfinished = installation.blobs.unfinished(before, remove=False)
        return Swept(looked, len(found), sum(blob.bytes for blob in found), unfinished, False)
    if len(found) > max(_FEW, _SHARE * looked) and not many:
        raise Refused(
            f"{len(found)} of {looked} blobs are referred to by nothing: hardly by killed uploads, "
            "rather the database is not the one of this store.",
            fix="check --data, --database-url and --store; if they are right: cytolens clinic "
            "sweep --remove --many",
        )
    return _remove(installation, actor, before, looked, found, stop)


def is_due(installation: Installation) -> bool:
    """Tell whether no whole sweep removed orphans within a day."""
    with installation.reading() as db:
        late = db.scalars(
            select(Entry.details).where(Entry.action == _ACTION, Entry.at > clock.now() - DAY)
        )
        return not any(details["whole"] for details in late)


def _remove(
    installation: Installation,
    actor: Actor,
    before: datetime,
    looked: int,
    found: list[Stored],
    stop: Event,
) -> Swept:
    orphans = size = unfinished = 0
    whole = False
    try:
        for blob in found:
            if stop.is_set():
                break
            if installation.blobs.delete_old(blob.sha256, before):
                orphans, size = orphans + 1, size + blob.bytes
        else:
            unfinished = installation.blobs.unfinished(before, remove=True)
            whole = not stop.is_set()
    finally:
        if whole or orphans:
            with installation.writing() as db:
                trail.record(
                    db, actor, _ACTION, "blobs", "orphans",
                    blobs=orphans, bytes=size, unfinished=unfinished, before=before.isoformat(),
                    whole=whole,
                )  # fmt: skip
    return Swept(looked, orphans, size, unfinished, True)


def _orphans(installation: Installation, old: list[Stored]) -> list[Stored]:
    """Return those of some blobs that no row refers to."""
    left = {blob.sha256: blob for blob in old}
    if left:
        with installation.reading() as db:
            for sha256 in referred_blobs(db, removed=False):
                left.pop(sha256, None)
    return list(left.values())
