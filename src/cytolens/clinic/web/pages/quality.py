"""Quality readings: drawn cases, read again by another doctor, blind."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import quality, readings
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.desk.view import view
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.gallery import reader
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.refusals import shown_in_form
from cytolens.clinic.web.render import page
from cytolens.core.errors import InputError

router = APIRouter()

Text = Annotated[str, Form()]
Doctor = Annotated[Actor, Depends(May(Action.WRITE_READINGS))]


@router.get("/quality")
def drawn(request: Request, clinic: Clinic, actor: Doctor) -> HTMLResponse:
    """List the drawn cases that wait for this doctor, and the latest that were read."""
    with clinic.reading() as db:
        waiting, done = quality.waiting(db, actor), quality.done(db, actor)
    return page(request, "desk/quality.html.j2", waiting=waiting, done=done, words=vocabularies())


@router.get("/quality/{draw_id}")
def show(
    request: Request,
    clinic: Clinic,
    actor: Doctor,
    draw_id: Id,
    image: int | None = None,
    number: Annotated[int | None, Query(alias="page")] = None,
) -> HTMLResponse:
    """Show a drawn case without findings, decisions and readings."""
    return _draw(request, clinic, actor, draw_id, image=image, number=number)


@router.post("/quality/{draw_id}")
def read(
    request: Request,
    clinic: Clinic,
    actor: Doctor,
    draw_id: Id,
    revision: Annotated[int, Form()] = 0,
    category: Text = "",
    comment: Text = "",
) -> Response:
    """Enter the quality reading."""
    typed = {"category": category, "comment": comment}
    try:
        with clinic.writing() as db:
            draw = quality.find(db, actor, draw_id)
            readings.enter(
                db,
                actor,
                draw.case_id,
                "quality",
                category,
                "",
                comment,
                revision,
                anyway=True,  # a signed case gets no images any more
            )
    except InputError as error:
        return _draw(request, clinic, actor, draw_id, typed=typed, error=error)
    return RedirectResponse("/quality?done=read", status_code=303)


def _draw(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    draw_id: int,
    *,
    image: int | None = None,
    number: int | None = None,
    typed: dict[str, Any] | None = None,
    error: InputError | None = None,
) -> HTMLResponse:
    status, problem = (200, None) if error is None else shown_in_form(error)
    with clinic.reading() as db:
        draw = quality.find(db, actor, draw_id)
        period = draw.period
        case = view(db, actor, draw.case_id)
    trace_view(clinic, actor, "case", case.id, case.site_id, shown=not case.hidden)
    return page(
        request,
        "desk/quality_case.html.j2",
        status=status,
        case=case,
        period=period,
        typed_reading=typed or {},
        problem=problem,
        **reader(case, f"/quality/{draw_id}", image, number),
    )
