"""Sites (laboratories): open, rename, close."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import sites
from cytolens.clinic.rights import Action
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.refusals import done_or_shown
from cytolens.clinic.web.render import page

router = APIRouter()
Manager = Annotated[Actor, Depends(May(Action.MANAGE_SITES))]
Text = Annotated[str, Form()]


@router.get("/sites")
def show_sites(request: Request, actor: Manager, clinic: Clinic) -> Response:
    """List all sites."""
    return _list(request, actor, clinic)


@router.post("/sites")
def open_site(request: Request, actor: Manager, clinic: Clinic, code: Text, name: Text) -> Response:
    """Open a site."""
    try:
        with clinic.writing() as db:
            sites.open_site(db, actor, code, name)
    except Refused as error:
        return _list(request, actor, clinic, error, code, name)
    return RedirectResponse("/sites?done=opened", status_code=303)


@router.get("/sites/{site_id}")
def show_site(request: Request, actor: Manager, clinic: Clinic, site_id: Id) -> Response:
    """Show a site."""
    return _site(request, actor, clinic, site_id)


@router.post("/sites/{site_id}")
def rename(request: Request, actor: Manager, clinic: Clinic, site_id: Id, name: Text) -> Response:
    """Change a site's name."""

    def change(db: Session) -> None:
        sites.rename(db, actor, site_id, name)

    return _done(request, actor, clinic, site_id, change, "saved")


@router.post("/sites/{site_id}/close")
def close(request: Request, actor: Manager, clinic: Clinic, site_id: Id) -> Response:
    """Close a site."""

    def change(db: Session) -> None:
        sites.close(db, actor, site_id)

    return _done(request, actor, clinic, site_id, change, "closed")


@router.post("/sites/{site_id}/reopen")
def reopen(request: Request, actor: Manager, clinic: Clinic, site_id: Id) -> Response:
    """Open a closed site again."""

    def change(db: Session) -> None:
        sites.reopen(db, actor, site_id)

    return _done(request, actor, clinic, site_id, change, "opened")


def _done(
    request: Request,
    actor: Actor,
    clinic: Installation,
    site_id: int,
    change: Callable[[Session], None],
    word: str,
) -> Response:
    """Do it in one transaction, then show what was done, or what was wrong."""

    def show(error: Refused) -> Response:
        return _site(request, actor, clinic, site_id, error)

    return done_or_shown(clinic, change, f"/sites/{site_id}?done={word}", show)


def _list(
    request: Request,
    actor: Actor,
    clinic: Installation,
    error: Refused | None = None,
    code: str = "",
    name: str = "",
) -> Response:
    with clinic.reading() as db:
        found = sites.list_sites(db, actor)
    return page(
        request,
        "management/sites.html.j2",
        status=error.status if error else 200,
        error=error,
        sites=found,
        code=code,
        name=name,
    )


def _site(
    request: Request,
    actor: Actor,
    clinic: Installation,
    site_id: int,
    error: Refused | None = None,
) -> Response:
    with clinic.reading() as db:
        site = sites.find(db, actor, site_id)
    return page(
        request,
        "management/sites_one.html.j2",
        status=error.status if error else 200,
        error=error,
        site=site,
    )
