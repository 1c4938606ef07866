"""The address `/`: each role begins where its work is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse

from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action, Role
from cytolens.clinic.web.guard import May

router = APIRouter()

FIRST = {Role.ADMINISTRATOR: "/users", Role.DOCTOR: "/worklist", Role.DIRECTOR: "/figures"}


@router.get("/")
def home(actor: Annotated[Actor, Depends(May(Action.OWN_ACCOUNT))]) -> RedirectResponse:
    """Lead to the first page of the role."""
    assert actor.role is not None  # who comes with a session has one
    return RedirectResponse(FIRST[actor.role], status_code=303)
