"""The queue of work, in the database: taken with a lease, done exactly once.

A worker takes jobs for a minute and renews that while it works. A job whose lease ran out is taken
by another; whoever comes late finds it no longer its own and drops what it made. After a job was
taken once without an end it is taken alone, so that one that ends its worker harms no other; after
three times it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.tables import Image, Job, Model

FINDING, EXPLANATION = "finding", "explanation"
LEASE = timedelta(seconds=60)
TRIES = 3
GAVE_UP = "the analysis of this image ended the program three times; it was given up"


@dataclass(frozen=True)
class Ready:
    """A bundle that is active.

    Attributes:
        model: its row's id.
        bundle: its id, which names its folder.
        first: id of the oldest job that waits for it; None: none does.
    """

    model: int
    bundle: str
    specimen: str
    first: int | None


@dataclass(frozen=True)
class Taken:
    """A job that was taken: plain data, usable when the session has ended.

    Attributes:
        sha256: of the image's PNG.
        tries: how often it was taken, with this time.
    """

    id: int
    image_id: int
    case_id: int
    sha256: str
    kind: str
    method: str
    specimen: str
    tries: int


def active(db: Session) -> tuple[Ready, ...]:
    """Return the active bundles, those with work first, the oldest job before others.

    Asked again and again by who has nothing to do: an index look-up a bundle.
    """
    rows = db.execute(
        select(
            Model.id,
            Model.bundle,
            Model.specimen,
            select(func.min(Job.id))
            .where(Job.state == "waiting", Job.kind == FINDING, Job.specimen == Model.specimen)
            .scalar_subquery(),
        ).where(Model.status == "active")
    )
    found = [Ready(*row) for row in rows]
    return tuple(sorted(found, key=lambda one: (one.first is None, one.first or 0, one.model)))


def waits(db: Session, kind: str) -> bool:
    """Tell whether a job of a kind waits."""
    return bool(db.scalar(select(exists().where(Job.state == "waiting", Job.kind == kind))))


def any_expired(db: Session) -> bool:
    """Tell whether somebody's lease ran out."""
    late = exists().where(Job.state == "running", Job.leased_until < clock.now())
    return bool(db.scalar(select(late)))


def claim(
    db: Session,
    worker: str,
    kind: str,
    limit: int = 1,
    specimen: str | None = None,
    *,
    fresh: bool = False,
) -> list[Taken]:
    """Take the oldest jobs that wait; they are this worker's for a minute (`renew`).

    One that was taken before comes alone, and is to be done alone.

    Args:
        specimen: of findings: one bundle makes all of them.
        fresh: take none that was taken before, nor any behind such a one.
    """
    asked = (
        select(Job.id, Job.tries)
        .where(Job.state == "waiting", Job.kind == kind)
        .order_by(Job.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # SQLite: the transaction has the write lock already
    )
    if specimen is not None:
        asked = asked.where(Job.specimen == specimen)
    wanted: list[int] = []
    for job_id, tries in db.execute(asked):
        if tries and (wanted or fresh):
            break
        wanted.append(job_id)
        if tries:
            break  # it may have ended a worker: alone
    if not wanted:
        return []
    leased = {"state": "running", "worker": worker, "leased_until": clock.now() + LEASE}
    _change(db, wanted, leased | {"tries": Job.tries + 1})
    return _taken(db, wanted)


def renew(db: Session, worker: str) -> None:
    """Prolong the lease of whatever a worker has taken, but for what is being finished now."""
    _change(db, _locked(db, Job.worker == worker), {"leased_until": clock.now() + LEASE})


def own(db: Session, worker: str, jobs: Iterable[int]) -> set[int]:
    """Return which jobs are still this worker's, and lock them until the transaction's end."""
    return set(
        db.scalars(
            select(Job.id)
            .where(Job.id.in_(list(jobs)), Job.state == "running", Job.worker == worker)
            .order_by(Job.id)
            .with_for_update()
        )
    )


def done(db: Session, jobs: Iterable[int]) -> None:
    """Mark jobs as done."""
    _end(db, list(jobs), "done", "")


def failed(db: Session, jobs: Iterable[int], problem: str) -> None:
    """Mark jobs as failed; nobody takes them again.

    Args:
        problem: why, a sentence.
    """
    _end(db, list(jobs), "failed", problem)


def give_back(db: Session, worker: str, *, tried: bool = True) -> int:
    """Let others take at once what a worker has taken; return how many jobs.

    Args:
        tried: False: it was not begun, so that it does not count as a try.
    """
    found = _locked(db, Job.worker == worker)
    if tried:
        _change(db, found, {"leased_until": clock.now() - LEASE})
        expired(db)
    else:
        _change(db, found, _WAITING | {"tries": Job.tries - 1})
    return len(found)


def expired(db: Session) -> list[Taken]:
    """Let others take jobs whose lease ran out; return those that were tried too often."""
    late = Job.leased_until < clock.now()
    _change(db, _locked(db, late, Job.tries < TRIES), _WAITING)
    return _taken(db, _locked(db, late))


_WAITING: dict[str, Any] = {"state": "waiting", "worker": "", "leased_until": None}


def _locked(db: Session, *which: ColumnElement[bool]) -> list[int]:
    """Return running jobs, locked in their order; those that others hold are left out."""
    return list(
        db.scalars(
            select(Job.id)
            .where(Job.state == "running", *which)
            .order_by(Job.id)
            .with_for_update(skip_locked=True)
        )
    )


def _change(db: Session, jobs: Sequence[int], values: dict[str, Any]) -> None:
    if jobs:
        db.execute(
            update(Job)
            .where(Job.id.in_(jobs))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _taken(db: Session, jobs: Sequence[int]) -> list[Taken]:
    rows = db.execute(
        select(
            Job.id,
            Job.image_id,
            Image.case_id,
            Image.sha256,
            Job.kind,
            Job.method,
            Job.specimen,
            Job.tries,
        )
        .join(Image, Image.id == Job.image_id)
        .where(Job.id.in_(jobs))
        .order_by(Job.id)
    )
    return [Taken(*row) for row in rows]


def _end(db: Session, jobs: Sequence[int], state: str, problem: str) -> None:
    values = {"state": state, "problem": problem, "leased_until": None, "done_at": clock.now()}
    _change(db, jobs, values)
