"""How long images of signed cases are kept. Findings, readings and reports stay for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import ownership
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Choice, Image, Overlay, QualityDraw, Report
from cytolens.clinic.tables.cases import SIGNED

CHOICE = "retention"
MOST_MONTHS = 1200
ADVISED_MONTHS = 60
_CASES = 100  # of one transaction
_AT_ONCE = 10_000  # rows
_GRACE = timedelta(days=1)  # what was put later may be about to be used by a new upload


@dataclass(frozen=True)
class Due:
    """What would be removed now.

    Attributes:
        months: as chosen; None: images are kept for good, and nothing is due.
        before: cases signed before this are due.
        waiting: cases that are old enough, but wait for a quality re-reading; they keep theirs.
        removed: images whose blobs were removed so far.
    """

    months: int | None
    before: datetime | None
    cases: int
    images: int
    waiting: int
    removed: int


@dataclass(frozen=True)
class Removed:
    """What was removed: images of cases, and blobs that nothing refers to any more."""

    cases: int
    images: int
    blobs: int


def months(db: Session) -> int | None:
    """Return after how many months images are removed; None: never."""
    choice = db.get(Choice, CHOICE)
    return None if choice is None else choice.value["months"]


def choose(db: Session, actor: Actor, chosen: int | None) -> None:
    """Set after how many months images of signed cases are removed; None: never.

    Nothing is removed by this: see `apply`.

    Raises:
        Refused: no whole number of months within 1…1200.
    """
    actor.must(Action.MANAGE_RETENTION)
    if chosen is not None and not 1 <= chosen <= MOST_MONTHS:
        raise Refused(f"{chosen} months cannot be set.", expected=f"1 to {MOST_MONTHS}, or none")
    before = months(db)
    choice = db.get(Choice, CHOICE)
    if choice is None:
        db.add(Choice(name=CHOICE, value={"months": chosen}))
    else:
        choice.value = {"months": chosen}
    trail.record(db, actor, "retention.chosen", "choice", CHOICE, months=chosen, before=before)


def due(db: Session, actor: Actor) -> Due:
    """Return what would be removed now, without removing it."""
    actor.must(Action.MANAGE_RETENTION)
    chosen = months(db)
    removed = db.scalar(select(func.count()).where(Image.removed_at.is_not(None))) or 0
    if chosen is None:
        return Due(None, None, 0, 0, 0, removed)
    before = earlier(clock.now(), chosen)
    images = select(func.count()).select_from(Image).join(Case).where(Image.removed_at.is_(None))
    cases = select(func.count(Case.id.distinct())).select_from(Image).join(Case)
    cases = cases.where(Image.removed_at.is_(None))
    return Due(
        chosen,
        before,
        db.scalar(cases.where(_old(before), ~_waits())) or 0,
        db.scalar(images.where(_old(before), ~_waits())) or 0,
        db.scalar(cases.where(_old(before), _waits())) or 0,
        removed,
    )


def apply(installation: Installation, actor: Actor) -> Removed:
    """Remove images of cases that were signed long enough ago; a line a case in the audit log.

    Rows are marked first, some cases a transaction, and blobs deleted after: whatever is killed,
    the next call ends what was begun, and nothing that is referred to is missing.

    Raises:
        Refused: images are kept for good, or their store is another installation's.
    """
    actor.must(Action.MANAGE_RETENTION)
    with installation.reading() as db:
        chosen = months(db)
    if chosen is None:
        raise Refused("Images are kept for good.", fix="choose a number of months first.")
    ownership.check(installation)
    before = earlier(clock.now(), chosen)
    cases = images = 0
    while True:
        with installation.writing() as db:
            marked = _mark(db, actor, before)
        if not marked:
            break
        cases, images = cases + len(marked), images + sum(marked)
    blobs = _delete_blobs(installation)
    with installation.writing() as db:
        trail.record(
            db, actor, "retention.applied", "choice", CHOICE,
            months=chosen, before=before.isoformat(), cases=cases, images=images, blobs=blobs,
        )  # fmt: skip
    return Removed(cases, images, blobs)


def earlier(moment: datetime, by: int) -> datetime:
    """Return the moment so many months before; a day the month lacks becomes its last one."""
    index = moment.year * 12 + moment.month - 1 - by
    year, month = divmod(index, 12)
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=month + 1, day=day)
        except ValueError:
            continue
    return moment.replace(year=year, month=month + 1)


def _old(before: datetime) -> ColumnElement[bool]:
    """Signed, and nothing signed since `before`."""
    amended = exists().where(
        Report.case_id == Case.id, Report.status.in_(SIGNED), Report.created_at >= before
    )
    return and_(Case.status.in_(SIGNED), Case.signed_at < before, ~amended)


def _waits() -> ColumnElement[bool]:
    """Drawn for a quality re-reading that was not done, or still without a finding."""
    drawn = exists().where(QualityDraw.case_id == Case.id, QualityDraw.reading_id.is_(None))
    return or_(drawn, Case.pending > 0)


def _mark(db: Session, actor: Actor, before: datetime) -> list[int]:
    """Mark the images of some cases as removed; return how many a case."""
    trail.take_turn(db)
    has = exists().where(Image.case_id == Case.id, Image.removed_at.is_(None))
    cases = db.execute(
        select(Case.id, Case.site_id)
        .where(_old(before), ~_waits(), has)
        .order_by(Case.id)
        .limit(_CASES)
    ).all()
    counts = []
    for case, site in cases:
        done = db.execute(
            update(Image)
            .where(Image.case_id == case, Image.removed_at.is_(None))
            .values(removed_at=clock.now())
            .execution_options(synchronize_session=False)
        )
        counts.append(int(done.rowcount))  # type: ignore[attr-defined]
        trail.record(db, actor, "case.images_removed", "case", case, site=site, images=counts[-1])
    return counts


def _delete_blobs(installation: Installation) -> int:
    """Delete blobs of removed images that nothing else refers to."""
    with installation.reading() as db:
        gone = set(referred_blobs(db, removed=True)) - set(referred_blobs(db, removed=False))
    before, deleted = clock.now() - _GRACE, 0
    for sha256 in sorted(gone):
        deleted += installation.blobs.delete_old(sha256, before)
    return deleted


def referred_blobs(db: Session, *, removed: bool) -> Iterator[str]:
    """Yield the blobs that images which were removed, or were not, refer to; reports keep theirs.

    An explanation's blobs go with its image.
    """
    streamed = {"yield_per": _AT_ONCE}
    which = Image.removed_at.is_not(None) if removed else Image.removed_at.is_(None)
    images = select(Image.sha256, Image.thumbnail).where(which)
    for pair in db.execute(images, execution_options=streamed):
        yield from pair
    overlays = select(Overlay.overlay, Overlay.raw).join(Image, Image.id == Overlay.image_id)
    for pair in db.execute(overlays.where(which), execution_options=streamed):
        yield from pair
    if not removed:
        yield from db.scalars(select(Report.pdf), execution_options=streamed)
