"""Images of cases: uploaded, listed, handed out; their findings and explanations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.desk.images import ImageView
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.desk.view import view, view_image
from cytolens.clinic.errors import NotFound
from cytolens.clinic.inference import explanations
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Overlay
from cytolens.clinic.web.api.models.images import Explanation, Image, Method, Progress, Uploaded
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES, Responses, content
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.pages import images as pictures
from cytolens.clinic.web.pages.uploads import FIELD, as_json, take_in

router = group("images")
Reader = Annotated[Actor, Depends(May(Action.READ_CASES))]
Seer = Annotated[Actor, Depends(May(Action.READ_FINDINGS))]
Sender = Annotated[Actor, Depends(May(Action.UPLOAD_IMAGES))]
MethodName = Annotated[
    str, Path(max_length=40, json_schema_extra={"enum": list(explanations.OFFERED)})
]
_SAME: Responses = {304: {"description": "It is the one whose ETag was sent in If-None-Match."}}

_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "Images, DICOM files, and zip archives of both.",
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/cases/{case_id}/images",
    response_model=Uploaded,
    responses=CHANGES,
    openapi_extra=_FILES,
    summary="Upload images",
)
async def upload(request: Request, clinic: Clinic, actor: Sender, case_id: Id) -> dict[str, Any]:
    """Add images, DICOM files and zip archives to a case; each image then gets a finding.

    What is answered as added is kept. Sending a file again is harmless.
    """
    return as_json(await take_in(request, clinic, actor, case_id), str)  # str: in English


@router.get(
    "/cases/{case_id}/images",
    response_model=list[Image],
    responses=ASKED,
    summary="Images of a case",
)
def of_case(clinic: Clinic, actor: Reader, case_id: Id) -> tuple[ImageView, ...]:
    """Return the images by risk with their findings; by name where findings are hidden."""
    with clinic.reading() as db:
        found = view(db, actor, case_id)
    trace_view(clinic, actor, "case", case_id, found.site_id, shown=not found.hidden)
    return found.images


@router.get(
    "/cases/{case_id}/images/{image_id}",
    response_model=Image,
    responses=ASKED,
    summary="An image and its finding",
)
def of_image(clinic: Clinic, actor: Reader, case_id: Id, image_id: Id) -> ImageView:
    """Return one image of a case; its finding where it may be seen."""
    with clinic.reading() as db:
        return view_image(db, actor, case_id, image_id)


@router.get(
    "/cases/{case_id}/progress",
    response_model=Progress,
    responses=ASKED,
    summary="How far the findings are",
)
def progress(clinic: Clinic, actor: Reader, case_id: Id) -> dict[str, int]:
    """Return how many images wait for their finding."""
    with clinic.reading() as db:
        found = cases.find(db, actor, case_id)
        return {"images": found.images_count, "pending": found.pending}


@router.get(
    "/images/{image_id}",
    response_class=Response,
    responses=ASKED | _SAME | content("The picture.", png="image/png"),
    summary="A picture",
)
def picture(request: Request, clinic: Clinic, actor: Reader, image_id: Id) -> Response:
    """Return an image at full size."""
    return pictures.image(request, clinic, actor, image_id)


@router.get(
    "/images/{image_id}/thumbnail",
    response_class=Response,
    responses=ASKED | _SAME | content("The small picture.", jpeg="image/jpeg"),
    summary="A small picture",
)
def thumbnail(request: Request, clinic: Clinic, actor: Reader, image_id: Id) -> Response:
    """Return the small picture of an image."""
    return pictures.thumbnail(request, clinic, actor, image_id)


@router.get(
    "/images/{image_id}/examples/{number}",
    response_class=Response,
    responses=ASKED | _SAME | content("The small picture.", jpeg="image/jpeg"),
    summary="The picture of a training image",
)
def example(
    request: Request, clinic: Clinic, actor: Seer, image_id: Id, number: pictures.Number
) -> Response:
    """Return a training image that the finding names (`examples`)."""
    return pictures.example(request, clinic, actor, image_id, number)


@router.get(
    "/explanations",
    response_model=list[Method],
    responses=ASKED,
    summary="Methods of explanation",
)
def methods(actor: Seer) -> list[dict[str, str]]:
    """Return the methods that are offered, the quick ones first."""
    del actor
    return [{"name": name, "title": title} for name, title in explanations.OFFERED.items()]


@router.post(
    "/images/{image_id}/explanations/{method}",
    response_model=Explanation,
    responses=CHANGES,
    summary="Ask for an explanation",
)
def explain(clinic: Clinic, actor: Seer, image_id: Id, method: MethodName) -> dict[str, Any]:
    """Ask for an explanation; while its state is "waits", ask again every second or so."""
    with clinic.reading() as db:
        found = explanations.find(db, actor, image_id, method)
    if found is None:
        with clinic.writing() as db:
            found = explanations.ask(db, actor, image_id, method)
    return _told(found, method)


@router.get(
    "/images/{image_id}/explanations/{method}",
    response_model=Explanation,
    responses=ASKED,
    summary="An explanation that was made",
)
def explanation(clinic: Clinic, actor: Seer, image_id: Id, method: MethodName) -> dict[str, Any]:
    """Return an explanation, if it was made."""
    with clinic.reading() as db:
        found = explanations.find(db, actor, image_id, method)
    if found is None:
        raise NotFound("This explanation was not made yet.", fix="ask for it first.")
    return _told(found, method)


@router.get(
    "/images/{image_id}/explanations/{method}/overlay",
    response_class=Response,
    responses=ASKED | _SAME | content("A transparent picture.", png="image/png"),
    summary="The picture of an explanation",
)
def overlay(
    request: Request, clinic: Clinic, actor: Seer, image_id: Id, method: MethodName
) -> Response:
    """Return an explanation as a transparent picture of the image's proportions."""
    return pictures.overlay(request, clinic, actor, image_id, method)


def _told(found: Overlay | None, method: str) -> dict[str, Any]:
    said = {"method": method, "title": explanations.OFFERED.get(method, method)}
    if found is None:
        return said | {"state": "waits", "target": None, "overlay": None, "notes": []}
    place = f"/api/v1/images/{found.image_id}/explanations/{method}/overlay"
    return said | {
        "state": "ready",
        "target": found.target,
        "overlay": place,
        "notes": list(found.notes),
    }
