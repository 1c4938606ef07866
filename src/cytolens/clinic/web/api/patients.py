"""Patients: search, enter, correct, and the cases of one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import patients
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.desk import (
    Correction,
    Identity,
    NewPatient,
    Patients,
    PatientWithCases,
)
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES, Line, PageNumber
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("patients")
Reader = Annotated[Actor, Depends(May(Action.READ_PATIENTS))]
Writer = Annotated[Actor, Depends(May(Action.WRITE_PATIENTS))]


@router.get("/patients", response_model=Patients, responses=ASKED, summary="Search patients")
def search(
    clinic: Clinic,
    actor: Reader,
    q: Annotated[Line, Query(description="Beginnings of number or names.")] = "",
    number: PageNumber = 1,
) -> patients.PatientsPage:
    """Return the patients whose number or names begin with each of the words; 50 a page."""
    with clinic.reading() as db:
        return patients.search(db, actor, q, number)


@router.post(
    "/patients",
    response_model=PatientWithCases,
    status_code=201,
    responses=CHANGES,
    summary="Enter a patient",
)
def create(clinic: Clinic, actor: Writer, given: NewPatient) -> dict[str, Any]:
    """Enter a patient at one of the account's laboratories."""
    with clinic.writing() as db:
        made = patients.create(db, actor, given.site, _identity(given))
        return _answer(made, [])


@router.get(
    "/patients/{patient_id}",
    response_model=PatientWithCases,
    responses=ASKED,
    summary="A patient and the patient's cases",
)
def show(clinic: Clinic, actor: Reader, patient_id: Id) -> dict[str, Any]:
    """Return a patient with the patient's cases, the latest first."""
    with clinic.reading() as db:
        found = _loaded(db, actor, patient_id)
    trace_view(clinic, actor, "patient", patient_id, found["site_id"])
    return found


@router.put(
    "/patients/{patient_id}",
    response_model=PatientWithCases,
    responses=CHANGES,
    summary="Correct a patient",
)
def correct(clinic: Clinic, actor: Writer, patient_id: Id, given: Correction) -> dict[str, Any]:
    """Replace what is known of a patient."""
    with clinic.writing() as db:
        patients.correct(db, actor, patient_id, given.revision, _identity(given))
        return _loaded(db, actor, patient_id)


def _identity(given: Identity) -> patients.Identity:
    return patients.Identity(
        given.number, given.family_name, given.given_name, given.birth_date, given.sex
    )


def _loaded(db: Session, actor: Actor, patient_id: int) -> dict[str, Any]:
    found = patients.find(db, actor, patient_id)
    return _answer(found, patients.cases(db, actor, patient_id))


def _answer(row: Any, cases: list[patients.CaseRow]) -> dict[str, Any]:
    names = (
        "id", "number", "family_name", "given_name", "birth_date", "sex", "site_id", "revision",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names} | {"cases": cases}
