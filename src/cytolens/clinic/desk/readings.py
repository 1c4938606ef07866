"""Readings: what a doctor found in a case, beside what the system said."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import flag_modified

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases, entered, quality
from cytolens.clinic.desk.verdicts import settle
from cytolens.clinic.errors import Conflict, Refused
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Reading
from cytolens.clinic.vocabulary import vocabulary

KINDS = ("primary", "quality")


def enter(
    db: Session,
    actor: Actor,
    case_id: int,
    kind: str,
    category: str,
    verdict: str,
    comment: str,
    revision: int,
    *,
    anyway: bool = False,
    seen: str | None = None,
) -> Reading:
    """Enter a doctor's reading of a case.

    Args:
        kind: "primary"; or "quality": the case was drawn and waits for this doctor. A quality
            reading is always blind and changes nothing of the case.
        category: code of the vocabulary of the case's specimen.
        verdict: see `desk.verdicts`; "": by the rule. Not used where the findings were hidden.
        revision: of the case as it was looked at.
        anyway: although images are missing, or wait for their findings.
        seen: the system's decision as the doctor saw it, "" for none; None: not told.

    Raises:
        Refused: a category or verdict that cannot be; no images, or pending ones.
        NotFound: no such case at the account's sites; no draw for it.
        Conflict: the case or the system's decision changed meanwhile; another doctor was faster.
    """
    actor.must(Action.WRITE_READINGS)
    trail.take_turn(db)
    case = cases.find(db, actor, case_id)
    if kind not in KINDS:
        raise Refused(
            f"{kind[:40]!r} is no kind of reading.", expected="one of " + ", ".join(KINDS)
        )
    cases.fresh(case, revision)
    found = vocabulary(case.specimen).category(category[:40])
    comment = entered.text(comment, "The comment")
    _complete(case, anyway)
    draw = quality.of_case(db, actor, case_id) if kind == "quality" else None
    # A machine's token may do less than its account, whose doctor may have seen the findings.
    blind = not cases.may_see_findings(db, replace(actor, only=None), case)
    if not blind and seen is not None and seen != (case.decision or ""):
        raise Conflict(
            f"More findings arrived: the system's decision is {case.decision!r} now.",
            fix="look at the images again, then enter your reading.",
        )
    reading = Reading(
        case_id=case.id,
        doctor_id=actor.user,
        kind=kind,
        category=found.code,
        verdict=settle(verdict, found, case.decision, blind=blind),
        blind=blind,
        decision=case.decision,
        comment=comment,
        created_at=clock.now(),
    )
    db.add(reading)
    if draw is not None:
        db.flush()
        quality.close(db, draw, reading)
    else:
        if case.status == "open":
            case.status = "preliminary"
        flag_modified(case, "status")  # a reading changes the case: its revision grows
        db.flush()
    trail.record(  # not what was found: administrators read the log, and see no findings
        db,
        actor,
        "reading.entered",
        "case",
        case.id,
        site=case.site_id,
        reading=reading.id,
        reading_kind=kind,
        blind=blind,
    )
    return reading


def _complete(case: Case, anyway: bool) -> None:
    if anyway:
        return
    if case.images_count == 0:
        raise Refused(
            "The case has no images.",
            fix='upload them, or tick "although images or findings are missing".',
        )
    if case.pending:
        raise Refused(
            f"{case.pending} of {case.images_count} images still wait for their finding.",
            fix='wait, or tick "although images or findings are missing".',
        )
