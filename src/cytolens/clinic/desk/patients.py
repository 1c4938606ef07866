"""Patients of a site: searched, entered, corrected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, days, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import entered
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.folding import folded
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Patient, Site

SEXES = ("female", "male", "other", "unknown")  # as FHIR says it
PAGE = 50


@dataclass(frozen=True)
class Identity:
    """What is known of a patient; `number` is the laboratory's own."""

    number: str
    family_name: str
    given_name: str = ""
    birth_date: date | None = None
    sex: str = "unknown"


@dataclass(frozen=True)
class PatientRow:
    """A patient in a list; `cases`: how many specimens there are."""

    id: int
    number: str
    family_name: str
    given_name: str
    birth_date: date | None
    sex: str
    site: str
    cases: int


@dataclass(frozen=True)
class CaseRow:
    """A case of a patient, without what the system found."""

    id: int
    accession: str
    specimen: str
    status: str
    received_at: datetime
    signed_at: datetime | None
    images: int


@dataclass(frozen=True)
class PatientsPage:
    """A page of a search; pages count from 1."""

    rows: tuple[PatientRow, ...]
    text: str
    page: int
    pages: int
    count: int


def find(db: Session, actor: Actor, patient_id: int) -> Patient:
    """Return a patient.

    Raises:
        NotFound: none, or of another site.
    """
    actor.must(Action.READ_PATIENTS)
    patient = db.get(Patient, patient_id) if entered.is_key(patient_id) else None
    if patient is None or not actor.sees(patient.site_id):
        raise NotFound("There is no such patient.", fix="search by number or family name.")
    return patient


def search(db: Session, actor: Actor, text: str = "", page: int = 1) -> PatientsPage:
    """Return the patients whose number, family or given name begins with a text, by name.

    Each word must fit one of them, in either case and without accents: "garc mar" finds María
    García. Without a text: all.
    """
    actor.must(Action.READ_PATIENTS)
    text = entered.line(text, "What is searched for", 120)
    asked = select(Patient.id)
    if actor.role is not None:
        asked = asked.where(Patient.site_id.in_(sorted(actor.sites)))
    for word in text.split():
        asked = asked.where(
            or_(
                entered.begins(Patient.number, word),
                entered.begins(Patient.family_name, word),
                entered.begins(Patient.given_name, word),
            )
        )
    count = db.scalar(select(func.count()).select_from(asked.subquery())) or 0
    pages = max(1, -(-count // PAGE))
    page = min(max(page, 1), pages)
    cases = (
        select(func.count()).where(Case.patient_id == Patient.id).correlate(Patient)
    ).scalar_subquery()
    found = db.execute(
        asked.join(Site, Site.id == Patient.site_id)
        .with_only_columns(
            Patient.id,
            Patient.number,
            Patient.family_name,
            Patient.given_name,
            Patient.birth_date,
            Patient.sex,
            Site.code,
            cases,
        )
        .order_by(folded(Patient.family_name), folded(Patient.given_name), Patient.id)
        .limit(PAGE)
        .offset((page - 1) * PAGE)
    )
    return PatientsPage(tuple(PatientRow(*row) for row in found), text, page, pages, count)


def create(db: Session, actor: Actor, site_id: int, identity: Identity) -> Patient:
    """Enter a patient.

    Raises:
        Refused: what was typed cannot be.
        NotFound: not a site of this account.
        Conflict: the number is taken at this site.
    """
    actor.must(Action.WRITE_PATIENTS)
    if not entered.is_key(site_id) or not actor.sees(site_id) or db.get(Site, site_id) is None:
        raise NotFound("There is no such laboratory.", fix="choose one of yours.")
    trail.take_turn(db)
    identity = _checked(db, site_id, identity, None)
    patient = Patient(site_id=site_id, created_at=clock.now(), **vars(identity))
    db.add(patient)
    db.flush()
    trail.record(db, actor, "patient.created", "patient", patient.id, site=site_id)
    return patient


def correct(
    db: Session, actor: Actor, patient_id: int, revision: int, identity: Identity
) -> Patient:
    """Correct what is known of a patient; the log names the fields, not what they hold.

    Args:
        revision: of the patient as it was looked at.

    Raises:
        Refused, NotFound, Conflict: as `find` and `create`.
        Conflict: a stale revision.
    """
    actor.must(Action.WRITE_PATIENTS)
    trail.take_turn(db)
    patient = find(db, actor, patient_id)
    if patient.revision != revision:
        raise Conflict(
            "The patient was corrected since you looked at it; nothing of yours was kept.",
            fix="look at what is there now, then repeat what still applies.",
        )
    identity = _checked(db, patient.site_id, identity, patient.id)
    changed = [name for name, value in vars(identity).items() if getattr(patient, name) != value]
    for name in changed:
        setattr(patient, name, getattr(identity, name))
    if changed:
        trail.record(
            db,
            actor,
            "patient.corrected",
            "patient",
            patient.id,
            site=patient.site_id,
            fields=changed,
        )
    db.flush()  # the revision is the new one
    return patient


def cases(db: Session, actor: Actor, patient_id: int) -> list[CaseRow]:
    """Return the cases of a patient, the latest first; raises as `find`."""
    patient = find(db, actor, patient_id)
    found = db.execute(
        select(
            Case.id,
            Case.accession,
            Case.specimen,
            Case.status,
            Case.received_at,
            Case.signed_at,
            Case.images_count,
        )
        .where(Case.patient_id == patient.id)
        .order_by(Case.received_at.desc(), Case.id.desc())
    )
    return [CaseRow(*row) for row in found]


def sites(db: Session, actor: Actor) -> list[tuple[int, str]]:
    """Return id and name of the laboratories of this account."""
    actor.must(Action.READ_PATIENTS)
    asked = select(Site.id, Site.name).where(Site.active).order_by(Site.name)
    if actor.role is not None:
        asked = asked.where(Site.id.in_(sorted(actor.sites)))
    return [(row.id, row.name) for row in db.execute(asked)]


def _checked(db: Session, site_id: int, identity: Identity, own_id: int | None) -> Identity:
    if identity.sex not in SEXES:
        raise Refused(f"{identity.sex[:40]!r} is not known.", expected="one of " + ", ".join(SEXES))
    checked = Identity(
        entered.line(identity.number, "The patient's number", 64, required=True),
        entered.line(identity.family_name, "The family name", 120, required=True),
        entered.line(identity.given_name, "The given name", 120),
        entered.past(identity.birth_date, "The date of birth", days.today(days.zone_of(db))),
        identity.sex,
    )
    taken = db.scalar(
        select(Patient.id).where(Patient.site_id == site_id, Patient.number == checked.number)
    )
    if taken is not None and taken != own_id:
        raise Conflict(
            f"The number {checked.number} belongs to another patient of this laboratory.",
            fix="search for the number, or enter another one.",
        )
    return checked
