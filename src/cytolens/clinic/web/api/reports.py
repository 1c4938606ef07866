"""Reports: drafted, signed, amended; fetched as PDF, FHIR and DICOM."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases, signing
from cytolens.clinic.desk.sign_view import SignView, sign_view
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Report
from cytolens.clinic.web.api.models.readings import Amendment, Reports, Signature, Version
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES, Responses, content
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.pages import reports as documents

router = group("reports")
Signer = Annotated[Actor, Depends(May(Action.SIGN_REPORTS))]
Reader = Annotated[Actor, Depends(May(Action.READ_REPORTS))]

_FHIR: Responses = {
    200: {
        "description": "A FHIR bundle, with the PDF inside.",
        "content": {"application/fhir+json": {"schema": {"type": "object"}}},
    }
}


@router.get(
    "/cases/{case_id}/reports",
    response_model=Reports,
    responses=ASKED,
    summary="Versions of a case's report",
)
def of_case(clinic: Clinic, actor: Reader, case_id: Id) -> SignView:
    """Return the versions, the newest first, and what stands in the way of the next one."""
    with clinic.reading() as db:
        return sign_view(db, actor, cases.find(db, actor, case_id))


@router.post(
    "/cases/{case_id}/draft",
    response_model=Version,
    status_code=201,
    responses=CHANGES,
    summary="Make a preliminary version",
)
def draft(clinic: Clinic, actor: Signer, case_id: Id) -> dict[str, Any]:
    """Make a preliminary version, which nobody has signed."""
    return _answer(actor, signing.draft(clinic, actor, case_id))


@router.post(
    "/cases/{case_id}/sign",
    response_model=Version,
    status_code=201,
    responses=CHANGES,
    summary="Sign",
)
def sign(clinic: Clinic, actor: Signer, case_id: Id, given: Signature) -> dict[str, Any]:
    """Sign the newest reading, which must be the account's own: the report is final."""
    made = signing.sign(
        clinic, actor, case_id, given.password, given.revision, given.code, anyway=given.anyway
    )
    return _answer(actor, made)


@router.post(
    "/cases/{case_id}/amend",
    response_model=Version,
    status_code=201,
    responses=CHANGES,
    summary="Amend",
)
def amend(clinic: Clinic, actor: Signer, case_id: Id, given: Amendment) -> dict[str, Any]:
    """Replace the signed report by a new version, which says the newest reading."""
    made = signing.amend(
        clinic,
        actor,
        case_id,
        given.reason,
        given.password,
        given.revision,
        given.code,
        anyway=given.anyway,
    )
    return _answer(actor, made)


@router.get(
    "/reports/{report_id}/pdf",
    response_class=Response,
    responses=ASKED | content("The document.", pdf="application/pdf"),
    summary="A version as PDF",
)
def as_pdf(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Return the document that was signed."""
    return documents.as_pdf(clinic, actor, report_id)


@router.get(
    "/reports/{report_id}/fhir",
    response_class=Response,
    responses=ASKED | _FHIR,
    summary="A version as FHIR",
)
def as_fhir(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Return the report as a FHIR bundle."""
    return documents.as_fhir(clinic, actor, report_id)


@router.get(
    "/reports/{report_id}/dicom",
    response_class=Response,
    responses=ASKED | content("The pictures.", one="application/dicom", more="application/zip"),
    summary="A version's pictures as DICOM",
)
def as_dicom(clinic: Clinic, actor: Reader, report_id: Id) -> Response:
    """Return the report's pictures as DICOM; a zip archive of several."""
    return documents.as_dicom(clinic, actor, report_id)


def _answer(actor: Actor, made: Report) -> dict[str, Any]:
    return {
        "id": made.id,
        "version": made.version,
        "status": made.status,
        "signer": actor.name if made.signed_by is not None else "",
        "reason": made.reason,
        "created_at": made.created_at,
        "sha256": made.content_sha256,
    }
