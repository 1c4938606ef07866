"""Pictures: an image, its thumbnail, and explanations to be laid over it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import Response

from cytolens.bundle.config import MOST_EXAMPLES
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk.traces import trace_view
from cytolens.clinic.errors import NotFound
from cytolens.clinic.inference import examples, explanations, images
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Overlay
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.security import IMMUTABLE

router = APIRouter()

Reader = Annotated[Actor, Depends(May(Action.READ_CASES))]
Seer = Annotated[Actor, Depends(May(Action.READ_FINDINGS))]
Number = Annotated[int, Path(ge=1, le=MOST_EXAMPLES, description="Of a training image.")]


@router.get("/images/{image_id}")
def image(request: Request, clinic: Clinic, actor: Reader, image_id: Id) -> Response:
    """Hand out an image at full size."""
    with clinic.reading() as db:
        found = images.find(db, actor, image_id)
        sha256, site = found.sha256, images.site_of(db, found)
    response = _blob(request, clinic, sha256, "image/png")
    if response.status_code == 200:  # a browser that has it already was handed it before
        trace_view(clinic, actor, "image", image_id, site)
    return response


@router.get("/images/{image_id}/thumbnail")
def thumbnail(request: Request, clinic: Clinic, actor: Reader, image_id: Id) -> Response:
    """Hand out the small picture of an image."""
    with clinic.reading() as db:
        sha256 = images.find(db, actor, image_id).thumbnail
    return _blob(request, clinic, sha256, "image/jpeg")


@router.post("/images/{image_id}/explain")
def explain(
    clinic: Clinic, actor: Seer, image_id: Id, method: Annotated[str, Form()] = ""
) -> dict[str, Any]:
    """Ask for an explanation: {state: "waits"}, or "ready" with overlay, target and notes."""
    with clinic.reading() as db:
        found = explanations.find(db, actor, image_id, method)
    if found is None:
        with clinic.writing() as db:
            found = explanations.ask(db, actor, image_id, method)
    return {"state": "waits"} if found is None else as_json(found)


@router.get("/images/{image_id}/overlay/{method}")
def overlay(request: Request, clinic: Clinic, actor: Seer, image_id: Id, method: str) -> Response:
    """Hand out an explanation as a transparent picture of the image's proportions."""
    with clinic.reading() as db:
        found = explanations.find(db, actor, image_id, method)
    if found is None:
        raise NotFound("This explanation was not made yet.", fix="ask for it first.")
    return _blob(request, clinic, found.overlay, "image/png")


@router.get("/images/{image_id}/examples/{number}")
def example(
    request: Request, clinic: Clinic, actor: Seer, image_id: Id, number: Number
) -> Response:
    """Hand out a training image of the bundle that is near to an image."""
    with clinic.reading() as db:
        bundle = examples.find(db, actor, image_id, number)
    content = examples.picture(clinic, bundle, number)
    headers = {"ETag": f'"{bundle}-{number}"', "Cache-Control": IMMUTABLE}
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="image/jpeg", headers=headers)


def as_json(found: Overlay) -> dict[str, Any]:
    """Return what a page says of an explanation that was made."""
    return {
        "state": "ready",
        "overlay": f"/images/{found.image_id}/overlay/{found.method}",
        "method": found.method,
        "title": explanations.OFFERED.get(found.method, found.method),
        "target": found.target,
        "notes": list(found.notes),
    }


def _blob(request: Request, clinic: Installation, sha256: str, kind: str) -> Response:
    """Return a blob; the browser that has it keeps it, for this session alone."""
    headers = {"ETag": f'"{sha256}"', "Cache-Control": IMMUTABLE}
    if sha256 in request.headers.get("If-None-Match", ""):
        return Response(status_code=304, headers=headers)
    return Response(clinic.blobs.get(sha256), media_type=kind, headers=headers)
