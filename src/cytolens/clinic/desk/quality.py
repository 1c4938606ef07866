"""The quality sample: signed cases drawn for a blind second reading by another doctor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, not_, select, update
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import entered
from cytolens.clinic.desk.blinding import knows
from cytolens.clinic.errors import Conflict, NotFound
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, QualityDraw, Reading

LATEST = 20


@dataclass(frozen=True)
class DrawRow:
    """A drawn case that waits for a reading."""

    id: int
    case_id: int
    accession: str
    specimen: str
    images: int
    period: str
    drawn_at: datetime


@dataclass(frozen=True)
class DoneRow:
    """A quality reading of this account, with what it came to."""

    case_id: int
    accession: str
    specimen: str
    category: str
    verdict: str
    decision: str | None
    read_at: datetime


def waiting(db: Session, actor: Actor) -> list[DrawRow]:
    """Return the drawn cases that this account may re-read, the oldest first.

    Those of its sites that it neither read nor signed.
    """
    actor.must(Action.WRITE_READINGS)
    found = db.execute(
        _open(actor)
        .with_only_columns(
            QualityDraw.id,
            Case.id,
            Case.accession,
            Case.specimen,
            Case.images_count,
            QualityDraw.period,
            QualityDraw.drawn_at,
        )
        .order_by(QualityDraw.drawn_at, QualityDraw.id)
    )
    return [DrawRow(*row) for row in found]


def count(db: Session, actor: Actor) -> int:
    """Return how many drawn cases wait for this account."""
    actor.must(Action.WRITE_READINGS)
    return db.scalar(_open(actor).with_only_columns(func.count(QualityDraw.id))) or 0


def done(db: Session, actor: Actor) -> list[DoneRow]:
    """Return this account's latest quality readings, the newest first."""
    actor.must(Action.WRITE_READINGS)
    found = db.execute(
        select(
            Case.id,
            Case.accession,
            Case.specimen,
            Reading.category,
            Reading.verdict,
            Reading.decision,
            Reading.created_at,
        )
        .join(Case, Case.id == Reading.case_id)
        .where(
            Reading.doctor_id == actor.user,
            Reading.kind == "quality",
            Case.site_id.in_(sorted(actor.sites)),
        )
        .order_by(Reading.created_at.desc(), Reading.id.desc())
        .limit(LATEST)
    )
    return [DoneRow(*row) for row in found]


def find(db: Session, actor: Actor, draw_id: int) -> QualityDraw:
    """Return a draw that waits for this account.

    Raises:
        NotFound: none, of another site, read already, or a case that this account read or signed.
    """
    return _found(db, actor, QualityDraw.id == draw_id, draw_id)


def of_case(db: Session, actor: Actor, case_id: int) -> QualityDraw:
    """Return the draw of a case that waits for this account; raises as `find`."""
    return _found(db, actor, QualityDraw.case_id == case_id, case_id)


def close(db: Session, draw: QualityDraw, reading: Reading) -> None:
    """Put a reading into a draw.

    Raises:
        Conflict: somebody else read it at the same moment.
    """
    taken = db.execute(
        update(QualityDraw)
        .where(QualityDraw.id == draw.id, QualityDraw.reading_id.is_(None))
        .values(reading_id=reading.id)
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Another doctor has just read this case.", fix="take the next one.")


def _open(actor: Actor) -> Select[QualityDraw]:
    asked = (
        select(QualityDraw)
        .join(Case, Case.id == QualityDraw.case_id)
        .where(QualityDraw.reading_id.is_(None), not_(knows(actor)))
    )
    return asked if actor.role is None else asked.where(Case.site_id.in_(sorted(actor.sites)))


def _found(db: Session, actor: Actor, which: ColumnElement[bool], key: int) -> QualityDraw:
    actor.must(Action.WRITE_READINGS)
    draw = db.scalar(_open(actor).where(which)) if entered.is_key(key) else None
    if draw is None:
        raise NotFound("There is no such case for you to read again.", fix="see the list.")
    return draw
