"""The ranked worklist."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import quality
from cytolens.clinic.desk.worklist import Filters, worklist
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.render import page

router = APIRouter()


@router.get("/worklist")
def show(
    request: Request,
    clinic: Clinic,
    actor: Annotated[Actor, Depends(May(Action.READ_CASES))],
    specimen: str = "",
    status: str = "",
    mine: bool = False,
    text: str = "",
    number: Annotated[int, Query(alias="page")] = 1,
) -> HTMLResponse:
    """Show a page of the worklist."""
    filters = Filters(specimen, status, mine, text)
    with clinic.reading() as db:
        found = worklist(db, actor, filters, number)
        drawn = quality.count(db, actor) if actor.may(Action.WRITE_READINGS) else 0
    chosen = {key: value for key, value in vars(found.filters).items() if value}
    return page(
        request,
        "desk/worklist.html.j2",
        found=found,
        drawn=drawn,
        chosen=chosen,
        address="/worklist" + (f"?{urlencode(chosen)}" if chosen else ""),
        words=vocabularies(),
    )
