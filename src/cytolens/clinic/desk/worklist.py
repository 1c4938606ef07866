"""The worklist: cases to read at an account's sites, ranked by risk and age.

Rank: a case stands by

    urgency + 0.1 · days since it was received

where urgency is 1 + risk for a case the system refers or calls abnormal, its risk (0…1) for one it
calls clear or says nothing of, and 1 for one without a finding, or whose findings are hidden from
this doctor (read blind). So the referred and the abnormal come first, then risk decides; ten days
of waiting weigh as much as the step from clear to abnormal, and after twenty days a case stands
before the most urgent one of today: none starves. All cases age alike, so the order of two cases
changes only when a finding arrives.

Signed cases, asked for by their status, stand by the day of signing, the latest first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import ColumnElement, Select, case, extract, func, or_, select
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import entered
from cytolens.clinic.desk.blinding import hidden
from cytolens.clinic.errors import Refused
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Patient, Site, User
from cytolens.clinic.tables.cases import SIGNED, UNSIGNED
from cytolens.clinic.vocabulary import vocabularies

PER_DAY = 0.1  # what a day of waiting adds to a case's urgency
UNKNOWN = 1.0  # the urgency of a case without a finding that may be shown
PAGE = 50
STATUSES = ("", "open", "preliminary", "signed")


@dataclass(frozen=True)
class Filters:
    """What of the worklist is shown.

    Attributes:
        specimen: code of the vocabulary; "": every one.
        status: "open", "preliminary", "signed"; "": open and preliminary.
        mine: assigned to this account alone.
        text: within the accession number, or at the start of the patient's number or name.
    """

    specimen: str = ""
    status: str = ""
    mine: bool = False
    text: str = ""


@dataclass(frozen=True)
class WorklistRow:
    """A case in the worklist.

    Attributes:
        hidden: findings are hidden from this account: `risk` and `decision` are None.
        pending: images that wait for a finding.
        assigned: name of the doctor it is assigned to, or "".
    """

    id: int
    accession: str
    site: str
    specimen: str
    status: str
    blind: bool
    received_at: datetime
    signed_at: datetime | None
    images: int
    pending: int
    assigned: str
    patient_id: int
    number: str
    family_name: str
    given_name: str
    birth_date: date | None
    hidden: bool
    risk: float | None
    decision: str | None

    @property
    def waits(self) -> bool:
        """Findings are being made."""
        return self.pending > 0


@dataclass(frozen=True)
class WorklistPage:
    """A page of the worklist; pages count from 1."""

    rows: tuple[WorklistRow, ...]
    filters: Filters
    page: int
    pages: int
    count: int


def worklist(
    db: Session, actor: Actor, filters: Filters | None = None, page: int = 1
) -> WorklistPage:
    """Return a page of the ranked worklist: one statement for the page, one for the count.

    Raises:
        Refused: a specimen type or status that is none.
    """
    actor.must(Action.READ_CASES)
    filters = _checked(filters or Filters())
    asked = _asked(actor, filters)
    count = db.scalar(asked.with_only_columns(func.count(Case.id))) or 0
    pages = max(1, -(-count // PAGE))
    page = min(max(page, 1), pages)
    order = (
        (Case.signed_at.desc(), Case.id.desc())
        if filters.status == "signed"
        else (rank(actor).desc(), Case.received_at, Case.id)
    )
    unseen = hidden(actor)
    found = db.execute(
        asked.join(Site, Site.id == Case.site_id)
        .outerjoin(User, User.id == Case.assigned_id)
        .with_only_columns(
            Case.id.label("id"),
            Case.accession.label("accession"),
            Site.code.label("site"),
            Case.specimen.label("specimen"),
            Case.status.label("status"),
            Case.blind.label("blind"),
            Case.received_at.label("received_at"),
            Case.signed_at.label("signed_at"),
            Case.images_count.label("images"),
            Case.pending.label("pending"),
            func.coalesce(User.name, "").label("assigned"),
            Patient.id.label("patient_id"),
            Patient.number.label("number"),
            Patient.family_name.label("family_name"),
            Patient.given_name.label("given_name"),
            Patient.birth_date.label("birth_date"),
            unseen.label("hidden"),
            case((unseen, None), else_=Case.risk).label("risk"),
            case((unseen, None), else_=Case.decision).label("decision"),
        )
        .order_by(*order)
        .limit(PAGE)
        .offset((page - 1) * PAGE)
    )
    rows = tuple(WorklistRow(**row._asdict()) for row in found)
    return WorklistPage(rows, filters, page, pages, count)


def rank(actor: Actor) -> ColumnElement[float]:
    """Return the rank of a case, see above; larger stands first. Its zero is the year 1970."""
    urgent = Case.decision.in_(("refer", "abnormal"))
    urgency = case(
        (or_(hidden(actor), Case.risk.is_(None)), UNKNOWN),
        (urgent, 1.0 + Case.risk),
        else_=Case.risk,
    )
    return urgency - PER_DAY * extract("epoch", Case.received_at) / 86_400.0


def urgency(risk: float | None, decision: str | None, days: float) -> float:
    """Return the rank of a case that has waited for so many days: what `rank` says in SQL."""
    if risk is None:
        return UNKNOWN + PER_DAY * days
    return risk + (decision in ("refer", "abnormal")) + PER_DAY * days


def _asked(actor: Actor, filters: Filters) -> Select[int]:
    """Return the cases that the filters leave; the index (site, status, risk) finds them."""
    asked = (
        select(Case.id)
        .join(Patient, Patient.id == Case.patient_id)
        .where(Case.status.in_(_statuses(filters)))
    )
    if actor.role is not None:
        asked = asked.where(Case.site_id.in_(sorted(actor.sites)))
    if filters.specimen:
        asked = asked.where(Case.specimen == filters.specimen)
    if filters.mine:
        asked = asked.where(Case.assigned_id == actor.user)
    for word in filters.text.split():
        asked = asked.where(
            or_(
                entered.begins(Case.accession, word, within=True),
                entered.begins(Patient.number, word),
                entered.begins(Patient.family_name, word),
                entered.begins(Patient.given_name, word),
            )
        )
    return asked


def _statuses(filters: Filters) -> tuple[str, ...]:
    if filters.status == "signed":
        return SIGNED
    return (filters.status,) if filters.status else UNSIGNED


def _checked(filters: Filters) -> Filters:
    if filters.specimen and filters.specimen not in vocabularies():
        raise Refused(
            f"There is no specimen type {filters.specimen[:40]!r}.",
            expected="one of " + ", ".join(vocabularies()),
        )
    if filters.status not in STATUSES:
        raise Refused(
            f"There is no status {filters.status[:40]!r} to filter by.",
            expected="one of " + ", ".join(STATUSES[1:]),
        )
    return replace(filters, text=entered.line(filters.text, "What is searched for", 120))
