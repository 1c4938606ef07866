"""Readings: the doctor's own, and the blind second ones of the quality sample."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases, quality, readings
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.desk.view import CaseView, view
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Reading
from cytolens.clinic.web.api.models.desk import Case
from cytolens.clinic.web.api.models.readings import (
    Entered,
    NewQualityReading,
    NewReading,
    Quality,
)
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("readings")
Doctor = Annotated[Actor, Depends(May(Action.WRITE_READINGS))]


@router.post(
    "/cases/{case_id}/readings",
    response_model=Entered,
    status_code=201,
    responses=CHANGES,
    summary="Enter a reading",
)
def enter(clinic: Clinic, actor: Doctor, case_id: Id, given: NewReading) -> dict[str, Any]:
    """Enter the doctor's reading; the case is then preliminary, and can be signed."""
    with clinic.writing() as db:
        made = readings.enter(
            db,
            actor,
            case_id,
            "primary",
            given.category,
            given.verdict,
            given.comment,
            given.revision,
            anyway=given.anyway,
            seen=given.seen,
        )
        return _answer(db, actor, made)


@router.get("/quality", response_model=Quality, responses=ASKED, summary="Cases drawn for you")
def drawn(clinic: Clinic, actor: Doctor) -> dict[str, Any]:
    """Return the drawn cases that wait for this account, and the latest that it read."""
    with clinic.reading() as db:
        return {"waiting": quality.waiting(db, actor), "done": quality.done(db, actor)}


@router.get("/quality/{draw_id}", response_model=Case, responses=ASKED, summary="A drawn case")
def show_drawn(clinic: Clinic, actor: Doctor, draw_id: Id) -> CaseView:
    """Return a drawn case without findings, decisions and readings."""
    with clinic.reading() as db:
        found = view(db, actor, quality.find(db, actor, draw_id).case_id)
    trace_view(clinic, actor, "case", found.id, found.site_id, shown=not found.hidden)
    return found


@router.post(
    "/quality/{draw_id}",
    response_model=Entered,
    status_code=201,
    responses=CHANGES,
    summary="Enter a quality reading",
)
def enter_quality(
    clinic: Clinic, actor: Doctor, draw_id: Id, given: NewQualityReading
) -> dict[str, Any]:
    """Enter the blind second reading of a drawn case; the case itself does not change."""
    with clinic.writing() as db:
        made = readings.enter(
            db,
            actor,
            quality.find(db, actor, draw_id).case_id,
            "quality",
            given.category,
            "",
            given.comment,
            given.revision,
            anyway=True,  # a signed case gets no images any more
        )
        return _answer(db, actor, made)


def _answer(db: Session, actor: Actor, made: Reading) -> dict[str, Any]:
    names = ("id", "kind", "category", "verdict", "blind", "decision", "created_at", "case_id")
    revision = cases.find(db, actor, made.case_id).revision
    return {name: getattr(made, name) for name in names} | {"revision": revision}
