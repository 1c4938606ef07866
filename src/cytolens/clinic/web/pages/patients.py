"""Patients: search, enter, correct, and the cases of one."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import patients
from cytolens.clinic.desk.patients import Identity
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.errors import Conflict
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web import optional
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.refusals import shown_in_form
from cytolens.clinic.web.render import page
from cytolens.core.errors import InputError

router = APIRouter()

Text = Annotated[str, Form()]
Revision = Annotated[int, Form()]
Reader = Annotated[Actor, Depends(May(Action.READ_PATIENTS))]
Writer = Annotated[Actor, Depends(May(Action.WRITE_PATIENTS))]


@router.get("/patients")
def search(
    request: Request,
    clinic: Clinic,
    actor: Reader,
    q: str = "",
    number: Annotated[int, Query(alias="page")] = 1,
) -> HTMLResponse:
    """Search patients by number or name."""
    with clinic.reading() as db:
        found = patients.search(db, actor, q, number)
    address = "/patients" + (f"?{urlencode({'q': found.text})}" if found.text else "")
    return page(request, "desk/patients.html.j2", found=found, address=address)


@router.get("/patients/new")
def new(request: Request, clinic: Clinic, actor: Writer) -> HTMLResponse:
    """Show the form of a new patient."""
    return _form(request, clinic, actor, {"sex": "unknown"})


@router.post("/patients/new")
def create(
    request: Request,
    clinic: Clinic,
    actor: Writer,
    number: Text = "",
    family_name: Text = "",
    given_name: Text = "",
    birth_date: Text = "",
    sex: Text = "unknown",
    site: Annotated[int, Form()] = 0,
) -> Response:
    """Enter a patient."""
    typed = _typed(number, family_name, given_name, birth_date, sex) | {"site": site}
    try:
        with clinic.writing() as db:
            patient_id = patients.create(db, actor, site, _identity(typed)).id
    except InputError as error:
        return _form(request, clinic, actor, typed, error)
    return RedirectResponse(f"/patients/{patient_id}?done=added", status_code=303)


@router.get("/patients/{patient_id}")
def show(request: Request, clinic: Clinic, actor: Reader, patient_id: Id) -> HTMLResponse:
    """Show a patient and the patient's cases."""
    return _patient(request, clinic, actor, patient_id)


@router.post("/patients/{patient_id}")
def correct(
    request: Request,
    clinic: Clinic,
    actor: Writer,
    patient_id: Id,
    revision: Revision = 0,
    number: Text = "",
    family_name: Text = "",
    given_name: Text = "",
    birth_date: Text = "",
    sex: Text = "unknown",
) -> Response:
    """Correct a patient."""
    typed = _typed(number, family_name, given_name, birth_date, sex)
    try:
        with clinic.writing() as db:
            patients.correct(db, actor, patient_id, revision, _identity(typed))
    except InputError as error:
        if not isinstance(error, Conflict):  # what others do meanwhile is still told
            typed["revision"] = revision
        return _patient(request, clinic, actor, patient_id, typed, error)
    return RedirectResponse(f"/patients/{patient_id}?done=changed", status_code=303)


def _form(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    typed: dict[str, Any],
    error: InputError | None = None,
) -> HTMLResponse:
    status, problem = (200, None) if error is None else shown_in_form(error)
    with clinic.reading() as db:
        sites = patients.sites(db, actor)
    return page(
        request,
        "desk/patient_new.html.j2",
        status=status,
        typed=typed,
        problem=problem,
        sites=sites,
    )


def _patient(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    patient_id: int,
    typed: dict[str, Any] | None = None,
    error: InputError | None = None,
) -> HTMLResponse:
    status, problem = (200, None) if error is None else shown_in_form(error)
    with clinic.reading() as db:
        patient = patients.find(db, actor, patient_id)
        context = _loaded(db, actor, patient_id)
        site_id = patient.site_id
    trace_view(clinic, actor, "patient", patient_id, site_id)
    return page(
        request,
        "desk/patient.html.j2",
        status=status,
        patient=patient,
        typed=typed or vars(context["identity"]),
        problem=problem,
        words=vocabularies(),
        **context,
    )


def _loaded(db: Session, actor: Actor, patient_id: int) -> dict[str, Any]:
    patient = patients.find(db, actor, patient_id)
    return {
        "site": patient.site.name,
        "cases": patients.cases(db, actor, patient_id),
        "identity": Identity(
            patient.number,
            patient.family_name,
            patient.given_name,
            patient.birth_date,
            patient.sex,
        ),
    }


def _typed(number: str, family: str, given: str, birth: str, sex: str) -> dict[str, Any]:
    return {
        "number": number,
        "family_name": family,
        "given_name": given,
        "birth_date": birth,
        "sex": sex,
    }


def _identity(typed: dict[str, Any]) -> Identity:
    return Identity(
        typed["number"],
        typed["family_name"],
        typed["given_name"],
        optional.day(typed["birth_date"], "The date of birth"),
        typed["sex"],
    )
