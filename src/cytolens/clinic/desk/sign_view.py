"""What the part of a case's page about its report shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic.accounts import second_factor
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.desk.signing import newest_reading
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Report, User
from cytolens.clinic.tables.cases import SIGNED
from cytolens.clinic.vocabulary import Category, vocabulary


@dataclass(frozen=True)
class Version:
    """A version of the report; `signer`: "" of a preliminary one."""

    id: int
    version: int
    status: str
    signer: str
    reason: str
    created_at: datetime
    sha256: str


@dataclass(frozen=True)
class SignView:
    """What would be signed, by whom, and what was.

    Attributes:
        hidden: the case is to be read blind first; nothing else is told.
        obstacle: why this account cannot make a version: "hidden", "no-reading", "other-reading",
            "no-right", or "".
        signed: there is a signed version, so that a new one is an amendment.
        category, verdict, comment, doctor, read_at: of the newest reading, which would be signed.
        newer: that reading is not in the newest version of the report.
        pending: images without a finding.
        asks_code: the account has a second factor.
        versions: the newest first.
    """

    case_id: int
    revision: int
    hidden: bool
    obstacle: str
    signed: bool
    category: Category | None
    verdict: str
    comment: str
    doctor: str
    read_at: datetime | None
    newer: bool
    images: int
    pending: int
    decision: str | None
    asks_code: bool
    versions: tuple[Version, ...]


def sign_view(db: Session, actor: Actor, case: Case) -> SignView:
    """Return what may be shown of a case's report to this account."""
    hidden = not cases.may_see_findings(db, actor, case)
    reading = None if hidden else newest_reading(db, case.id)
    versions = () if hidden else _versions(db, case.id)
    if not actor.may(Action.SIGN_REPORTS):
        obstacle = "no-right"
    elif hidden:
        obstacle = "hidden"
    elif reading is None:
        obstacle = "no-reading"
    else:
        obstacle = "" if reading.doctor_id == actor.user else "other-reading"
    said = {reading_id for _, reading_id in versions[:1]}
    return SignView(
        case_id=case.id,
        revision=case.revision,
        hidden=hidden,
        obstacle=obstacle,
        signed=case.status in SIGNED,
        category=vocabulary(case.specimen).category(reading.category) if reading else None,
        verdict=reading.verdict if reading else "",
        comment=reading.comment if reading else "",
        doctor=reading.doctor.name if reading else "",
        read_at=reading.created_at if reading else None,
        newer=reading is not None and reading.id not in said,
        images=case.images_count,
        pending=case.pending,
        decision=None if hidden else case.decision,
        asks_code=second_factor.is_on(db, actor),
        versions=tuple(version for version, _ in versions),
    )


def _versions(db: Session, case_id: int) -> tuple[tuple[Version, int], ...]:
    """Return the versions, the newest first, each with the id of its reading."""
    found = db.execute(
        select(
            Report.id,
            Report.version,
            Report.status,
            User.name,
            Report.reason,
            Report.created_at,
            Report.content_sha256,
            Report.reading_id,
        )
        .outerjoin(User, User.id == Report.signed_by)
        .where(Report.case_id == case_id)
        .order_by(Report.version.desc())
    )
    return tuple(
        (Version(key, number, status, signer or "", reason, at, sha256), reading)
        for key, number, status, signer, reason, at, sha256, reading in found
    )
