"""Cases: opened, described, assigned. What lies at another site is not found.

Status: a case is "open" until a doctor's reading makes it "preliminary"; `desk.signing` makes it
"final" and "amended". Description and readings of a signed case may still be entered, as what an
amended report will say; the signed version stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, days, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import accession as numbers
from cytolens.clinic.desk import entered, patients
from cytolens.clinic.desk.blinding import may_see_findings
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.rights import Action, Role
from cytolens.clinic.tables import Case, User, user_site
from cytolens.clinic.tables.cases import SIGNED
from cytolens.clinic.vocabulary import Vocabulary, vocabulary

__all__ = ["Details", "assign", "change", "doctors", "find", "may_see_findings", "open_case"]

_AHEAD = timedelta(minutes=5)  # clocks differ


@dataclass(frozen=True)
class Details:
    """What the laboratory says of a specimen.

    Attributes:
        clinical: history, and the question asked.
        adequacy, indicators: codes of the vocabulary of the specimen; "" and (): not judged yet.
        blind: findings stay hidden from a doctor until the doctor's own reading; settled when
            the first finding arrives.
    """

    collected_on: date | None = None
    clinical: str = ""
    adequacy: str = ""
    indicators: Sequence[str] = ()
    quality_note: str = ""
    blind: bool = False


def find(db: Session, actor: Actor, case_id: int) -> Case:
    """Return a case.

    Raises:
        NotFound: none, or of another site.
    """
    actor.must(Action.READ_CASES)
    case = db.get(Case, case_id) if entered.is_key(case_id) else None
    if case is None or not actor.sees(case.site_id):
        raise NotFound("There is no such case.", fix="look for it in the worklist.")
    return case


def open_case(
    db: Session,
    actor: Actor,
    patient_id: int,
    specimen: str,
    *,
    accession: str = "",
    received_at: datetime | None = None,
    assigned_id: int | None = None,
    details: Details | None = None,
) -> Case:
    """Open a case for a patient's specimen.

    Args:
        accession: "": the next number of the site and year, such as ONE-2026-00012.
        received_at: None: now.

    Raises:
        Refused: words that the specimen's vocabulary lacks, dates that cannot be.
        NotFound: no such patient at the account's sites.
        Conflict: the accession number is taken.
    """
    actor.must(Action.WRITE_CASES)
    trail.take_turn(db)
    patient = patients.find(db, actor, patient_id)
    received = received_at or clock.now()
    if received > clock.now() + _AHEAD:
        raise Refused("A specimen cannot have been received in the future.")
    zone = days.zone_of(db)
    details = checked(vocabulary(specimen), details or Details(), days.today(zone))
    if details.collected_on and details.collected_on > days.day_of(received, zone):
        raise Refused(
            "The specimen was received before it was collected.", fix="correct one of the days."
        )
    site_id = patient.site_id
    if assigned_id is not None:
        _doctor(db, site_id, assigned_id)
    number = (
        numbers.given(db, site_id, accession)
        if accession.strip()
        else numbers.following(db, site_id, days.day_of(received, zone).year)
    )
    case = Case(
        site_id=site_id,
        patient_id=patient.id,
        accession=number,
        specimen=specimen,
        received_at=received,
        created_at=clock.now(),
        assigned_id=assigned_id,
        **vars(details) | {"indicators": list(details.indicators)},
    )
    db.add(case)
    db.flush()
    trail.record(
        db,
        actor,
        "case.created",
        "case",
        case.id,
        site=site_id,
        accession=number,
        specimen=specimen,
        blind=case.blind,
        assigned=assigned_id,
    )
    return case


def change(db: Session, actor: Actor, case_id: int, revision: int, details: Details) -> Case:
    """Describe a case anew; the log names the fields, not what they hold.

    Raises:
        Refused: words that the specimen's vocabulary lacks, dates that cannot be.
        Conflict: a stale revision; blind reading chosen or dropped after the first finding.
    """
    actor.must(Action.WRITE_CASES)
    trail.take_turn(db)
    case = find(db, actor, case_id)
    fresh(case, revision)
    zone = days.zone_of(db)
    details = checked(vocabulary(case.specimen), details, days.today(zone))
    if details.collected_on and details.collected_on > days.day_of(case.received_at, zone):
        raise Refused("The specimen was received before that day.", fix="correct the day.")
    if details.blind != case.blind and not blind_is_open(case):
        raise Conflict(
            "Blind reading is settled when the first finding arrives.",
            fix="leave it as it is.",
        )
    values = vars(details) | {"indicators": list(details.indicators)}
    changed = [name for name, value in values.items() if getattr(case, name) != value]
    for name in changed:
        setattr(case, name, values[name])
    if changed:
        trail.record(db, actor, "case.changed", "case", case.id, site=case.site_id, fields=changed)
    return case


def assign(db: Session, actor: Actor, case_id: int, revision: int, user_id: int | None) -> Case:
    """Hand a case to a doctor of its site, or to nobody; the others may still read it.

    Raises:
        Refused: no doctor of the site.
        Conflict: a stale revision, or the case is signed.
    """
    actor.must(Action.WRITE_CASES)
    trail.take_turn(db)
    case = find(db, actor, case_id)
    fresh(case, revision)
    if case.status in SIGNED:
        raise Conflict("The case is signed; it is nobody's to read any more.")
    if user_id is not None:
        _doctor(db, case.site_id, user_id)
    if case.assigned_id != user_id:
        case.assigned_id = user_id
        trail.record(
            db, actor, "case.assigned", "case", case.id, site=case.site_id, assigned=user_id
        )
    return case


def doctors(db: Session, site_id: int) -> list[tuple[int, str]]:
    """Return id and name of the doctors of a site who are active."""
    asked = _doctors(site_id).order_by(User.name, User.id)
    return [(row.id, row.name) for row in db.execute(asked)]


def fresh(case: Case, revision: int) -> None:
    """Raise `Conflict` where a case was changed since it was looked at."""
    if case.revision != revision:
        raise Conflict(
            "The case was changed since you looked at it; nothing of yours was kept.",
            fix="look at what is there now, then repeat what still applies.",
        )


def blind_is_open(case: Case) -> bool:
    """Tell whether blind reading can still be chosen: there is no finding yet."""
    return case.status == "open" and case.risk is None and case.pending == case.images_count


def checked(words: Vocabulary, details: Details, today: date) -> Details:
    """Return details as they are kept.

    Raises:
        Refused: codes that the vocabulary lacks; text that is too long or none.
    """
    adequacy = {term.code: term.name for term in words.adequacy}
    if details.adequacy and details.adequacy not in adequacy:
        raise Refused(
            f"{details.adequacy[:40]!r} is no adequacy of {words.name}.",
            expected="one of " + ", ".join(adequacy),
        )
    known = [term.code for term in words.indicators]
    if unknown := [code[:40] for code in details.indicators if code not in known]:
        raise Refused(
            f"The indicators are not those of {words.name}.",
            rows=unknown,
            expected="of " + ", ".join(known),
        )
    return Details(
        entered.past(details.collected_on, "The day of collection", today),
        entered.text(details.clinical, "The clinical text"),
        details.adequacy,
        tuple(code for code in known if code in details.indicators),
        entered.text(details.quality_note, "The note on quality", 2000),
        details.blind,
    )


def _doctors(site_id: int) -> Select[int, str]:
    return (
        select(User.id, User.name)
        .join(user_site, user_site.c.user_id == User.id)
        .where(user_site.c.site_id == site_id, User.role == Role.DOCTOR, User.active)
    )


def _doctor(db: Session, site_id: int, user_id: int) -> None:
    asked = _doctors(site_id).where(User.id == user_id)
    if not entered.is_key(user_id) or db.execute(asked).first() is None:
        raise Refused("That is no doctor of this laboratory.", fix="choose one of the list.")
