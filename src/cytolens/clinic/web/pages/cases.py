"""Cases: opened, shown, described, assigned, read."""

from __future__ import annotations

from datetime import UTC, datetime, time, tzinfo
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases, patients, readings
from cytolens.clinic.desk.cases import Details
from cytolens.clinic.desk.sign_view import sign_view
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.desk.verdicts import VERDICTS
from cytolens.clinic.desk.view import view, view_image
from cytolens.clinic.errors import Conflict
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web import optional
from cytolens.clinic.web.gallery import reader
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.refusals import shown_in_form
from cytolens.clinic.web.render import page
from cytolens.core.errors import InputError

router = APIRouter()

Text = Annotated[str, Form()]
Flag = Annotated[bool, Form()]
Several = Annotated[list[str], Form(default_factory=list)]
Revision = Annotated[int, Form()]
Reader = Annotated[Actor, Depends(May(Action.READ_CASES))]
Writer = Annotated[Actor, Depends(May(Action.WRITE_CASES))]
Doctor = Annotated[Actor, Depends(May(Action.WRITE_READINGS))]


@router.get("/cases/new")
def new(request: Request, clinic: Clinic, actor: Writer, patient: int) -> HTMLResponse:
    """Show the form of a new case of a patient."""
    return _new(request, clinic, actor, patient, {})


@router.post("/cases/new")
def open_case(
    request: Request,
    clinic: Clinic,
    actor: Writer,
    patient: Annotated[int, Form()],
    specimen: Text = "",
    accession: Text = "",
    collected_on: Text = "",
    received_on: Text = "",
    clinical: Text = "",
    assigned: Text = "",
    blind: Flag = False,
) -> Response:
    """Open a case."""
    typed = {
        "specimen": specimen,
        "accession": accession,
        "collected_on": collected_on,
        "received_on": received_on,
        "clinical": clinical,
        "assigned": assigned,
        "blind": blind,
    }
    try:
        with clinic.writing() as db:
            case_id = cases.open_case(
                db,
                actor,
                patient,
                specimen,
                accession=accession,
                received_at=_received(received_on, clinic.settings.zone),
                assigned_id=_key(assigned),
                details=Details(
                    collected_on=optional.day(collected_on, "The day of collection"),
                    clinical=clinical,
                    blind=blind,
                ),
            ).id
    except InputError as error:
        return _new(request, clinic, actor, patient, typed, error)
    return RedirectResponse(f"/cases/{case_id}?done=opened", status_code=303)


@router.get("/cases/{case_id}")
def show(
    request: Request,
    clinic: Clinic,
    actor: Reader,
    case_id: Id,
    image: int | None = None,
    number: Annotated[int | None, Query(alias="page")] = None,
) -> HTMLResponse:
    """Show a case: its images by risk, one of them at large, its finding, the reading."""
    return case_page(request, clinic, actor, case_id, image=image, number=number)


@router.get("/cases/{case_id}/images/{image_id}")
def panel(
    request: Request, clinic: Clinic, actor: Reader, case_id: Id, image_id: Id
) -> HTMLResponse:
    """Return the part of the page that tells an image's finding, for `viewer.js`."""
    with clinic.reading() as db:
        chosen = view_image(db, actor, case_id, image_id)
    return page(request, "desk/finding.html.j2", chosen=chosen)


@router.post("/cases/{case_id}/details")
def describe(
    request: Request,
    clinic: Clinic,
    actor: Writer,
    case_id: Id,
    indicators: Several,
    revision: Revision = 0,
    collected_on: Text = "",
    clinical: Text = "",
    adequacy: Text = "",
    quality_note: Text = "",
    blind: Flag = False,
) -> Response:
    """Describe the specimen anew."""
    typed = {
        "collected_on": collected_on,
        "clinical": clinical,
        "adequacy": adequacy,
        "indicators": indicators,
        "quality_note": quality_note,
        "blind": blind,
    }
    try:
        details = Details(
            optional.day(collected_on, "The day of collection"),
            clinical,
            adequacy,
            indicators,
            quality_note,
            blind,
        )
        with clinic.writing() as db:
            cases.change(db, actor, case_id, revision, details)
    except InputError as error:
        if not isinstance(error, Conflict):  # what others do meanwhile is still told
            typed["revision"] = revision
        return case_page(
            request, clinic, actor, case_id, details=typed, error=error, form="details"
        )
    return RedirectResponse(f"/cases/{case_id}?done=saved", status_code=303)


@router.post("/cases/{case_id}/assign")
def assign(
    request: Request,
    clinic: Clinic,
    actor: Writer,
    case_id: Id,
    revision: Revision = 0,
    doctor: Text = "",
) -> Response:
    """Hand the case to a doctor, or to nobody."""
    try:
        with clinic.writing() as db:
            cases.assign(db, actor, case_id, revision, _key(doctor))
    except InputError as error:
        return case_page(request, clinic, actor, case_id, error=error, form="assign")
    return RedirectResponse(f"/cases/{case_id}?done=assigned", status_code=303)


@router.post("/cases/{case_id}/read")
def read(
    request: Request,
    clinic: Clinic,
    actor: Doctor,
    case_id: Id,
    revision: Revision = 0,
    category: Text = "",
    verdict: Text = "",
    comment: Text = "",
    anyway: Flag = False,
    seen: Annotated[str | None, Form()] = None,
) -> Response:
    """Enter the doctor's reading."""
    typed = {"category": category, "verdict": verdict, "comment": comment, "anyway": anyway}
    try:
        with clinic.writing() as db:
            readings.enter(
                db,
                actor,
                case_id,
                "primary",
                category,
                verdict,
                comment,
                revision,
                anyway=anyway,
                seen=seen,
            )
    except InputError as error:
        return case_page(request, clinic, actor, case_id, reading=typed, error=error, form="read")
    return RedirectResponse(f"/cases/{case_id}?done=read#report", status_code=303)


def _new(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    patient_id: int,
    typed: dict[str, Any],
    error: InputError | None = None,
) -> HTMLResponse:
    status, problem = (200, None) if error is None else shown_in_form(error)
    with clinic.reading() as db:
        patient = patients.find(db, actor, patient_id)
        doctors = cases.doctors(db, patient.site_id)
    return page(
        request,
        "desk/case_new.html.j2",
        status=status,
        patient=patient,
        doctors=doctors,
        typed=typed,
        problem=problem,
        words=vocabularies(),
    )


def case_page(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    case_id: int,
    *,
    image: int | None = None,
    number: int | None = None,
    details: dict[str, Any] | None = None,
    reading: dict[str, Any] | None = None,
    report: dict[str, Any] | None = None,
    error: InputError | None = None,
    form: str = "",
) -> HTMLResponse:
    """Show a case; after a refusal with what was typed into the form that was refused."""
    status, problem = 200, None
    if error is not None:
        status, problem = shown_in_form(error, password=form == "report")
    with clinic.reading() as db:
        row = cases.find(db, actor, case_id)  # held, so that `view` need not load it again
        case = view(db, actor, case_id)
        doctors = cases.doctors(db, case.site_id)
        signing = sign_view(db, actor, row)
    trace_view(clinic, actor, "case", case_id, case.site_id, shown=not case.hidden)
    return page(
        request,
        "desk/case.html.j2",
        status=status,
        case=case,
        signing=signing,
        doctors=doctors,
        verdicts=VERDICTS,
        typed_details=details,
        typed_reading=reading or {},
        typed_report=report or {},
        problem=problem,
        problem_form=form,
        **reader(case, f"/cases/{case_id}", image, number),
    )


def _received(value: str, zone: tzinfo) -> datetime | None:
    """Return the moment of a day of receipt: noon of it, in the zone; today and "" are now."""
    day = optional.day(value, "The day of receipt")
    if day is None or day == days.today(zone):
        return None
    return datetime.combine(day, time(12), zone).astimezone(UTC)


def _key(value: str) -> int | None:
    """Return the key that a list's option holds; "" is nobody, other text no key."""
    if not value:
        return None
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0
