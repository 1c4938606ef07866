"""How long images are kept: choose, see what is due, remove it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.management import retention
from cytolens.clinic.rights import Action
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.optional import whole
from cytolens.clinic.web.render import page

router = APIRouter()
Manager = Annotated[Actor, Depends(May(Action.MANAGE_RETENTION))]


@router.get("/retention")
def show_retention(request: Request, actor: Manager, clinic: Clinic) -> Response:
    """Show what is chosen and what would be removed now."""
    with clinic.reading() as db:
        due = retention.due(db, actor)
    return page(request, "management/retention.html.j2", due=due, advised=retention.ADVISED_MONTHS)


@router.post("/retention")
def choose_retention(
    actor: Manager, clinic: Clinic, months: Annotated[str, Form()] = ""
) -> Response:
    """Set after how many months images are removed; empty: never."""
    with clinic.writing() as db:
        retention.choose(db, actor, whole(months, "months"))
    return RedirectResponse("/retention?done=saved", status_code=303)


@router.post("/retention/apply")
def apply_retention(actor: Manager, clinic: Clinic, sure: Annotated[str, Form()] = "") -> Response:
    """Remove what is due."""
    if sure != "1":
        raise Refused(
            "Nothing was removed: the box was not ticked.", fix="tick it, then press the button."
        )
    retention.apply(clinic, actor)
    return RedirectResponse("/retention?done=removed", status_code=303)
