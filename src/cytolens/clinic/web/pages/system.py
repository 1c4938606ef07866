"""How the installation stands: workers, queue, storage."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from cytolens.clinic.actor import Actor
from cytolens.clinic.management.system import system_state
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.render import page

router = APIRouter()


@router.get("/system")
def show_system(
    request: Request, actor: Annotated[Actor, Depends(May(Action.READ_SYSTEM))], clinic: Clinic
) -> Response:
    """Show counts of jobs, workers and storage."""
    return page(
        request,
        "management/system.html.j2",
        state=system_state(clinic, actor),
        specimens=vocabularies(),
    )
