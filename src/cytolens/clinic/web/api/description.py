"""What the interface says of itself: its OpenAPI description, and the words that it takes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from cytolens.clinic.accounts.sessions import cookie_name
from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import Vocabulary, vocabularies
from cytolens.clinic.web.api.models.management import Specimen
from cytolens.clinic.web.api.models.shared import ASKED
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import CSRF_HEADER, May

router = group("description")
Somebody = Annotated[Actor, Depends(May(Action.OWN_ACCOUNT))]

_ABOUT = f"""
The functions of the clinic's pages for machines, by the same rules: what an account may do, a
machine with its token may do, or less. A token is made on the page of the account (`/account`) and
sent as `Authorization: Bearer …`. A browser's session serves too; what changes something then
carries the session's token in the header `{CSRF_HEADER}`.

What is refused is answered with `what`, `rows`, `expected` and `fix`, and nothing was changed.
What lies at another laboratory is not found. Times are UTC; days, as of a period, are those of
the time zone ZONE.

A finding of the system is not a diagnosis.
"""


@router.get("/openapi.json", responses=ASKED, summary="This description")
def openapi(request: Request, actor: Somebody) -> JSONResponse:
    """Return the OpenAPI description of the interface."""
    del actor
    return JSONResponse(described(request))


@router.get(
    "/specimens",
    response_model=list[Specimen],
    responses=ASKED,
    summary="Specimen types and their words",
)
def specimens(actor: Somebody) -> list[Vocabulary]:
    """Return every specimen type with its categories, adequacy and quality indicators."""
    del actor
    return list(vocabularies().values())


def described(request: Request) -> dict[str, Any]:
    """Return the description of the application that serves a request."""
    said: dict[str, Any] = request.app.openapi()  # made once
    settings = request.app.state.clinic.settings
    cookie = cookie_name(settings)
    said["info"]["description"] = _ABOUT.strip().replace("ZONE", settings.time_zone)
    said["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A machine's token."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": f"A browser's session; changes carry the header {CSRF_HEADER} too.",
        },
    }
    said["security"] = [{"token": []}, {"session": []}]
    return said
