"""Bundles: upload, inspect the model card, activate, retire."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.inference.uploads import incoming
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import bundles
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Model
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.receiving import receive_form, removed_after
from cytolens.clinic.web.render import page

router = APIRouter()
Manager = Annotated[Actor, Depends(May(Action.MANAGE_BUNDLES))]


@router.get("/bundles")
def show_bundles(request: Request, actor: Manager, clinic: Clinic) -> Response:
    """List all bundles."""
    return _list(request, actor, clinic, None)


@router.post("/bundles")
async def upload_bundle(request: Request, actor: Manager, clinic: Clinic) -> Response:
    """Install a bundle from a zip archive."""
    try:
        model, _ = await install_from(request, clinic, actor)
    except Refused as error:
        return await run_in_threadpool(_list, request, actor, clinic, error)
    return RedirectResponse(f"/bundles/{model.id}?done=installed", status_code=303)


@router.get("/bundles/{model_id}")
def show_bundle(request: Request, actor: Manager, clinic: Clinic, model_id: Id) -> Response:
    """Show a bundle with its model card."""
    with clinic.reading() as db:
        model = bundles.find(db, actor, model_id)
        shown = next(m for m in bundles.installed(db, actor) if m.id == model_id)
        card = bundles.card_of(model)
    return page(
        request,
        "management/bundle.html.j2",
        bundle=shown,
        card=card,
        kind=lambda block: type(block).__name__.lower(),
        specimens=vocabularies(),
    )


@router.post("/bundles/{model_id}/activate")
def activate_bundle(actor: Manager, clinic: Clinic, model_id: Id) -> Response:
    """Let a bundle read its specimen type."""
    with clinic.writing() as db:
        bundles.activate(db, actor, model_id)
    return RedirectResponse(f"/bundles/{model_id}?done=activated", status_code=303)


@router.post("/bundles/{model_id}/retire")
def retire_bundle(actor: Manager, clinic: Clinic, model_id: Id) -> Response:
    """Take a bundle out of use."""
    with clinic.writing() as db:
        bundles.retire(db, actor, model_id)
    return RedirectResponse(f"/bundles/{model_id}?done=retired", status_code=303)


async def install_from(
    request: Request, clinic: Installation, actor: Actor
) -> tuple[Model, list[str]]:
    """Receive an archive and install it; returns and raises as `receive_form` and `install`.

    The form has the archive in `file`, and the code of the specimen type in `specimen`.
    """
    actor.must(Action.MANAGE_BUNDLES)
    try:
        with removed_after(incoming(clinic.settings)) as folder:
            limit = clinic.settings.request_bytes
            got = await receive_form(request, folder, "file", limit, ("specimen",))
            if len(got.files) != 1:
                raise Refused(
                    f"There are {len(got.files)} files in this upload.",
                    expected="one, the zip archive of a bundle's folder",
                )
            specimen = got.texts.get("specimen", "")
            [(_, path)] = got.files
            return await run_in_threadpool(bundles.install, clinic, actor, path, specimen)
    finally:
        await request.close()


def _list(request: Request, actor: Actor, clinic: Installation, error: Refused | None) -> Response:
    with clinic.reading() as db:
        listed = bundles.installed(db, actor)
    return page(
        request,
        "management/bundles.html.j2",
        status=200 if error is None else error.status,
        bundles=listed,
        specimens=vocabularies(),
        error=error,
    )
