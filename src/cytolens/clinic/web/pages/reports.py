"""Reports: made preliminary, signed, amended; fetched as PDF, FHIR and DICOM."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import reports, signing
from cytolens.clinic.desk.reports import Document
from cytolens.clinic.rights import Action
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.pages.cases import case_page
from cytolens.core.errors import InputError

router = APIRouter()

Text = Annotated[str, Form()]
Flag = Annotated[bool, Form()]
Revision = Annotated[int, Form()]
Signer = Annotated[Actor, Depends(May(Action.SIGN_REPORTS))]
Reader = Annotated[Actor, Depends(May(Action.READ_REPORTS))]


@router.post("/cases/{case_id}/draft")
def draft(request: Request, clinic: Clinic, actor: Signer, case_id: Id) -> Response:
    """Make a preliminary version."""
    try:
        signing.draft(clinic, actor, case_id)
    except InputError as error:
        return case_page(request, clinic, actor, case_id, error=error, form="report")
    return _back(case_id, "preliminary")


@router.post("/cases/{case_id}/sign")
def sign(
    request: Request,
    clinic: Clinic,
    actor: Signer,
    case_id: Id,
    password: Text = "",
    code: Text = "",
    revision: Revision = 0,
    anyway: Flag = False,
) -> Response:
    """Sign the newest reading."""
    try:
        signing.sign(clinic, actor, case_id, password, revision, code, anyway=anyway)
    except InputError as error:
        typed = {"anyway": anyway}
        return case_page(request, clinic, actor, case_id, report=typed, error=error, form="report")
    return _back(case_id, "signed")


@router.post("/cases/{case_id}/amend")
def amend(
    request: Request,
    clinic: Clinic,
    actor: Signer,
    case_id: Id,
    reason: Text = "",
    password: Text = "",
    code: Text = "",
    revision: Revision = 0,
    anyway: Flag = False,
) -> Response:
    """Replace the signed report by a new version."""
    try:
        signing.amend(clinic, actor, case_id, reason, password, revision, code, anyway=anyway)
    except InputError as error:
        typed = {"reason": reason, "anyway": anyway}
        return case_page(request, clinic, actor, case_id, report=typed, error=error, form="report")
    return _back(case_id, "amended")


@router.get("/reports/{report_id}.pdf")
def as_pdf(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Hand out the document that was signed."""
    return file_response(reports.fetch(clinic, actor, report_id, "pdf"), inline=True)


@router.get("/reports/{report_id}.fhir.json")
def as_fhir(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Hand out the report as a FHIR bundle."""
    return file_response(reports.fetch(clinic, actor, report_id, "fhir"))


@router.get("/reports/{report_id}.dcm")
def as_dicom(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Hand out the pictures as DICOM; a zip of several."""
    return file_response(reports.fetch(clinic, actor, report_id, "dicom"))


def file_response(document: Document, *, inline: bool = False) -> Response:
    """Return a file that no cache keeps, under its own name."""
    shown = "inline" if inline else "attachment"
    return Response(
        document.content,
        media_type=document.media_type,
        headers={
            "Content-Disposition": f'{shown}; filename="{document.name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _back(case_id: int, done: str) -> Response:
    return RedirectResponse(f"/cases/{case_id}?done={done}#report", status_code=303)
