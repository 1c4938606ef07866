"""A case as pages and programs show it: plain data, loaded in a fixed number of statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.desk.entered import is_key
from cytolens.clinic.desk.images import ImageView, by_name, by_risk
from cytolens.clinic.errors import NotFound
from cytolens.clinic.tables import Case, Reading, Report, Site, User
from cytolens.clinic.tables.cases import SIGNED
from cytolens.clinic.vocabulary import Vocabulary, vocabulary


@dataclass(frozen=True)
class PatientView:
    """The patient of a case."""

    id: int
    number: str
    family_name: str
    given_name: str
    birth_date: date | None
    sex: str


@dataclass(frozen=True)
class ReadingView:
    """A reading of a case; `category`: its code."""

    id: int
    kind: str
    doctor: str
    category: str
    category_name: str
    verdict: str
    blind: bool
    decision: str | None
    comment: str
    created_at: datetime


@dataclass(frozen=True)
class ReportView:
    """A version of a case's report."""

    id: int
    version: int
    status: str
    signer: str
    reason: str
    created_at: datetime


@dataclass(frozen=True)
class CaseView:
    """A case with all that its page shows.

    Attributes:
        hidden: findings are hidden from this account: the images stand by name, and `risk`,
            `decision`, `readings` and `reports` are empty.
        images: by risk, the largest first, then failed and waiting ones.
        failed: how many images could not be analysed.
        blind_is_open: blind reading can still be chosen or dropped.
    """

    id: int
    revision: int
    accession: str
    site_id: int
    site: str
    words: Vocabulary
    status: str
    blind: bool
    hidden: bool
    blind_is_open: bool
    collected_on: date | None
    received_at: datetime
    signed_at: datetime | None
    clinical: str
    adequacy: str
    indicators: tuple[str, ...]
    quality_note: str
    assigned_id: int | None
    assigned: str
    pending: int
    failed: int
    risk: float | None
    decision: str | None
    patient: PatientView
    images: tuple[ImageView, ...]
    readings: tuple[ReadingView, ...]
    reports: tuple[ReportView, ...]

    @property
    def signed(self) -> bool:
        return self.status in SIGNED


def view(db: Session, actor: Actor, case_id: int) -> CaseView:
    """Return a case as this account may see it.

    Raises:
        NotFound: no such case at the account's sites.
    """
    case = cases.find(db, actor, case_id)
    shown = cases.may_see_findings(db, actor, case)
    images = by_risk(db, case.id) if shown else by_name(db, case.id)
    words = vocabulary(case.specimen)
    patient = case.patient
    return CaseView(
        id=case.id,
        revision=case.revision,
        accession=case.accession,
        site_id=case.site_id,
        site=db.scalars(select(Site.name).where(Site.id == case.site_id)).one(),
        words=words,
        status=case.status,
        blind=case.blind,
        hidden=not shown,
        blind_is_open=cases.blind_is_open(case),
        collected_on=case.collected_on,
        received_at=case.received_at,
        signed_at=case.signed_at,
        clinical=case.clinical,
        adequacy=case.adequacy,
        indicators=tuple(case.indicators),
        quality_note=case.quality_note,
        assigned_id=case.assigned_id,
        assigned=db.scalar(select(User.name).where(User.id == case.assigned_id)) or "",
        pending=case.pending,
        failed=sum(image.state in ("failed", "unusable") for image in images),
        risk=case.risk if shown else None,
        decision=case.decision if shown else None,
        patient=PatientView(
            patient.id,
            patient.number,
            patient.family_name,
            patient.given_name,
            patient.birth_date,
            patient.sex,
        ),
        images=images,
        readings=_readings(db, case, words) if shown else (),
        reports=_reports(db, case) if shown else (),
    )


def view_image(db: Session, actor: Actor, case_id: int, image_id: int) -> ImageView:
    """Return one image of a case as this account may see it.

    Raises:
        NotFound: no such case at the account's sites, no such image in it.
    """
    case = cases.find(db, actor, case_id)
    load = by_risk if cases.may_see_findings(db, actor, case) else by_name
    found = load(db, case.id, image_id) if is_key(image_id) else ()
    if not found:
        raise NotFound("There is no such image in this case.", fix="choose one of the gallery.")
    return found[0]


def _readings(db: Session, case: Case, words: Vocabulary) -> tuple[ReadingView, ...]:
    found = db.execute(
        select(
            Reading.id,
            Reading.kind,
            User.name,
            Reading.category,
            Reading.verdict,
            Reading.blind,
            Reading.decision,
            Reading.comment,
            Reading.created_at,
        )
        .join(User, User.id == Reading.doctor_id)
        .where(Reading.case_id == case.id)
        .order_by(Reading.created_at, Reading.id)
    )
    names = {category.code: category.name for category in words.categories}
    return tuple(
        ReadingView(
            id=row.id,
            kind=row.kind,
            doctor=row.name,
            category=row.category,
            category_name=names.get(row.category, row.category),
            verdict=row.verdict,
            blind=row.blind,
            decision=row.decision,
            comment=row.comment,
            created_at=row.created_at,
        )
        for row in found
    )


def _reports(db: Session, case: Case) -> tuple[ReportView, ...]:
    found = db.execute(
        select(
            Report.id,
            Report.version,
            Report.status,
            User.name,
            Report.reason,
            Report.created_at,
        )
        .outerjoin(User, User.id == Report.signed_by)
        .where(Report.case_id == case.id)
        .order_by(Report.version)
    )
    return tuple(ReportView(row[0], row[1], row[2], row[3] or "", row[4], row[5]) for row in found)
