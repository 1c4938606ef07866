"""Bundles: upload, inspect, activate, retire."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import bundles
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.api.models.management import BundleWithCard, InstalledBundle, NewBundle
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.pages.bundles import install_from

router = group("bundles")
Manager = Annotated[Actor, Depends(May(Action.MANAGE_BUNDLES))]

_ARCHIVE = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "specimen"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A zip archive of the bundle's folder.",
                        },
                        "specimen": {
                            "type": "string",
                            "enum": list(vocabularies()),
                            "description": "Code of the specimen type it shall read.",
                        },
                    },
                }
            }
        },
    }
}


@router.get(
    "/bundles", response_model=list[InstalledBundle], responses=ASKED, summary="All bundles"
)
def list_bundles(clinic: Clinic, actor: Manager) -> list[bundles.Installed]:
    """Return all bundles: the active ones first, then the newest."""
    with clinic.reading() as db:
        return bundles.installed(db, actor)


@router.post(
    "/bundles",
    response_model=NewBundle,
    status_code=201,
    responses=CHANGES,
    openapi_extra=_ARCHIVE,
    summary="Upload a bundle",
)
async def upload(request: Request, clinic: Clinic, actor: Manager) -> dict[str, Any]:
    """Check a bundle and keep it; it reads nothing before it is activated."""
    model, left = await install_from(request, clinic, actor)
    return vars(await run_in_threadpool(_found, clinic, actor, model.id)) | {"left": left}


@router.get(
    "/bundles/{model_id}", response_model=BundleWithCard, responses=ASKED, summary="A bundle"
)
def show(clinic: Clinic, actor: Manager, model_id: Id) -> dict[str, Any]:
    """Return a bundle with the content of its `bundle.json`."""
    with clinic.reading() as db:
        card = bundles.find(db, actor, model_id).card
    return vars(_found(clinic, actor, model_id)) | {"card": card}


@router.post(
    "/bundles/{model_id}/activate",
    response_model=InstalledBundle,
    responses=CHANGES,
    summary="Let it read its specimen type",
)
def activate(clinic: Clinic, actor: Manager, model_id: Id) -> bundles.Installed:
    """Let a bundle read its specimen type; the one that did is retired."""
    with clinic.writing() as db:
        bundles.activate(db, actor, model_id)
    return _found(clinic, actor, model_id)


@router.post(
    "/bundles/{model_id}/retire",
    response_model=InstalledBundle,
    responses=CHANGES,
    summary="Take it out of use",
)
def retire(clinic: Clinic, actor: Manager, model_id: Id) -> bundles.Installed:
    """Take a bundle out of use; images wait until another is active."""
    with clinic.writing() as db:
        bundles.retire(db, actor, model_id)
    return _found(clinic, actor, model_id)


def _found(clinic: Installation, actor: Actor, model_id: int) -> bundles.Installed:
    with clinic.reading() as db:
        bundles.find(db, actor, model_id)
        return next(one for one in bundles.installed(db, actor) if one.id == model_id)
