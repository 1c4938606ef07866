"""Signed cases with the reading that stands: what figures and samples are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from cytolens.clinic.actor import Actor
from cytolens.clinic.oversight.period import Period, at_sites
from cytolens.clinic.tables import Case, Reading, Report, User
from cytolens.clinic.tables.cases import SIGNED
from cytolens.clinic.vocabulary import vocabularies


@dataclass(frozen=True)
class Signed:
    """A signed case.

    Attributes:
        patient: number of the row, to tell cases of one patient; nothing else of the patient.
        signed_at: of the first signature.
        category: of the reading that the last signed version is of.
        severity: of that category; -1 also where the vocabulary does not know it any more.
        decision: of the system as that reading saw it; None: there was none.
    """

    case: int
    site: int
    patient: int
    accession: str
    specimen: str
    received_at: datetime
    signed_at: datetime
    category: str
    severity: int
    verdict: str
    decision: str | None
    blind: bool
    doctor: str

    @property
    def hours(self) -> float:
        """From received to the first signature."""
        return (self.signed_at - self.received_at).total_seconds() / 3600

    @property
    def kind(self) -> str:
        """The doctor's category as the system decides: "clear", "abnormal" or "none"."""
        return "none" if self.severity < 0 else "abnormal" if self.severity else "clear"


def signed_cases(db: Session, actor: Actor, period: Period, specimen: str = "") -> list[Signed]:
    """Return the cases of the account's sites that were first signed in a period, by id."""
    earlier, later = aliased(Report), aliased(Report)
    first = (
        select(Report.case_id, func.min(Report.created_at).label("at"))
        .where(Report.status.in_(SIGNED), Report.created_at < period.end)
        .where(Report.created_at >= period.start)
        .group_by(Report.case_id)
        .subquery()
    )
    signed_before = exists().where(
        earlier.case_id == Case.id,
        earlier.status.in_(SIGNED),
        earlier.created_at < period.start,
    )
    newer = exists().where(
        later.case_id == Report.case_id,
        later.status.in_(SIGNED),
        later.version > Report.version,
    )
    asked = (
        select(
            Case.id, Case.site_id, Case.patient_id, Case.accession, Case.specimen,
            Case.received_at, first.c.at, Reading.category, Reading.verdict, Reading.decision,
            Reading.blind, User.username,
        )
        .join(first, first.c.case_id == Case.id)
        .join(Report, Report.case_id == Case.id)
        .join(Reading, Reading.id == Report.reading_id)
        .join(User, User.id == Reading.doctor_id)
        .where(Report.status.in_(SIGNED), ~newer, ~signed_before, at_sites(actor))
        .order_by(Case.id)
    )  # fmt: skip
    if specimen:
        asked = asked.where(Case.specimen == specimen)
    severities = severity_by_category()
    return [
        Signed(
            case=row[0], site=row[1], patient=row[2], accession=row[3], specimen=row[4],
            received_at=row[5], signed_at=row[6], category=row[7],
            severity=severities.get((row[4], row[7]), -1),
            verdict=row[8], decision=row[9], blind=row[10], doctor=row[11],
        )
        for row in db.execute(asked)
    ]  # fmt: skip


def severity_by_category() -> dict[tuple[str, str], int]:
    """Return the severity of each category, by specimen type and code."""
    return {
        (code, category.code): category.severity
        for code, words in vocabularies().items()
        for category in words.categories
    }
