"""The worklist, and cases: opened, shown, described, assigned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.desk.view import CaseView, view
from cytolens.clinic.desk.worklist import Filters, WorklistPage, worklist
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.desk import (
    Assignment,
    Case,
    CaseMark,
    ChangedDetails,
    Details,
    Doctor,
    NewCase,
    Worklist,
)
from cytolens.clinic.web.api.models.shared import (
    ASKED,
    CHANGES,
    AnySpecimen,
    Line,
    PageNumber,
)
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("cases")
Reader = Annotated[Actor, Depends(May(Action.READ_CASES))]
Writer = Annotated[Actor, Depends(May(Action.WRITE_CASES))]
Status = Literal["", "open", "preliminary", "signed"]


@router.get("/worklist", response_model=Worklist, responses=ASKED, summary="The ranked worklist")
def show_worklist(
    clinic: Clinic,
    actor: Reader,
    specimen: Annotated[AnySpecimen, Query(description='Code of a specimen type; "": all.')] = "",
    status: Annotated[Status, Query(description='"": open and preliminary.')] = "",
    mine: Annotated[bool, Query(description="Assigned to this account alone.")] = False,
    text: Annotated[Line, Query(description="Of accession, patient's number or name.")] = "",
    number: PageNumber = 1,
) -> WorklistPage:
    """Return a page of the worklist, the most urgent first; signed cases the latest first."""
    with clinic.reading() as db:
        return worklist(db, actor, Filters(specimen, status, mine, text), number)


@router.post(
    "/cases", response_model=CaseMark, status_code=201, responses=CHANGES, summary="Open a case"
)
def open_case(clinic: Clinic, actor: Writer, given: NewCase) -> dict[str, Any]:
    """Open a case for a patient's specimen, at the patient's laboratory."""
    with clinic.writing() as db:
        made = cases.open_case(
            db,
            actor,
            given.patient,
            given.specimen,
            accession=given.accession,
            received_at=given.received_at,
            assigned_id=given.assigned,
            details=_details(given),
        )
        return _mark(made)


@router.get("/cases/{case_id}", response_model=Case, responses=ASKED, summary="A case")
def show(clinic: Clinic, actor: Reader, case_id: Id) -> CaseView:
    """Return a case with its images, findings and readings as this account may see them."""
    with clinic.reading() as db:
        found = view(db, actor, case_id)
    trace_view(clinic, actor, "case", case_id, found.site_id, shown=not found.hidden)
    return found


@router.put(
    "/cases/{case_id}/details",
    response_model=CaseMark,
    responses=CHANGES,
    summary="Describe the specimen anew",
)
def describe(clinic: Clinic, actor: Writer, case_id: Id, given: ChangedDetails) -> dict[str, Any]:
    """Replace what the laboratory says of the specimen."""
    with clinic.writing() as db:
        changed = cases.change(db, actor, case_id, given.revision, _details(given))
        db.flush()
        return _mark(changed)


@router.put(
    "/cases/{case_id}/assignment",
    response_model=CaseMark,
    responses=CHANGES,
    summary="Hand a case to a doctor",
)
def assign(clinic: Clinic, actor: Writer, case_id: Id, given: Assignment) -> dict[str, Any]:
    """Hand the case to a doctor of its laboratory, or to nobody."""
    with clinic.writing() as db:
        changed = cases.assign(db, actor, case_id, given.revision, given.doctor)
        db.flush()
        return _mark(changed)


@router.get(
    "/cases/{case_id}/doctors",
    response_model=list[Doctor],
    responses=ASKED,
    summary="To whom a case can be handed",
)
def doctors(clinic: Clinic, actor: Writer, case_id: Id) -> list[dict[str, Any]]:
    """Return the doctors of the case's laboratory."""
    with clinic.reading() as db:
        site_id = cases.find(db, actor, case_id).site_id
        return [{"id": key, "name": name} for key, name in cases.doctors(db, site_id)]


def _details(given: Details) -> cases.Details:
    return cases.Details(
        given.collected_on,
        given.clinical,
        given.adequacy,
        given.indicators,
        given.quality_note,
        given.blind,
    )


def _mark(case: Any) -> dict[str, Any]:
    return {name: getattr(case, name) for name in ("id", "revision", "accession", "status")}
