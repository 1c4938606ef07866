"""Every route says what it asks of whoever calls it: one action, or that it is public."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request

from cytolens.clinic.accounts import sessions
from cytolens.clinic.accounts.tokens import actor_of_token
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotAllowed, NotSignedIn
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def clinic(request: Request) -> Installation:
    """Return the installation that serves a request."""
    installation: Installation = request.app.state.clinic
    return installation


Clinic = Annotated[Installation, Depends(clinic)]


def address_of(request: Request) -> str:
    """Return where a request came from."""
    return request.client.host if request.client else "local"


class May:
    """Lets through who may do one thing: `actor: Annotated[Actor, Depends(May(Action.…))]`.

    A browser shows its session's cookie and, unless it only reads, the session's CSRF token (in a
    header or the form field `csrf`); a machine shows its token in `Authorization: Bearer …` and
    is let into `/api/` alone.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Actor:
        from starlette.concurrency import run_in_threadpool

        if bearer := _bearer(request):
            actor = await run_in_threadpool(_machine, clinic(request), bearer, address_of(request))
        else:
            current = await run_in_threadpool(current_session, request)
            if current is None or not current.second_factor:
                raise NotSignedIn("Nobody is signed in.", fix="sign in.")
            if request.method not in _SAFE:
                await _check_csrf(request, current.csrf)
            actor = current.actor
            request.state.csrf = current.csrf
        request.state.actor = actor
        actor.must(self.action)
        return actor


class Public:
    """Marks a route that asks for nothing."""

    async def __call__(self, request: Request) -> None:
        del request


def current_session(request: Request) -> sessions.Current | None:
    """Return the session of a request's cookie, if it has one that lives."""
    installation = clinic(request)
    token = request.cookies.get(sessions.COOKIE)
    if not token:
        return None
    with installation.reading() as db:
        found = sessions.find_session(db, token, installation.settings, address_of(request))
    if found is not None and found.stale:
        with installation.writing() as db:
            sessions.seen(db, found.id)
    return found


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return (
        token.strip() if kind.lower() == "bearer" and request.url.path.startswith("/api/") else ""
    )


def _machine(installation: Installation, token: str, address: str) -> Actor:
    actor = actor_of_token(installation, token, address)
    if actor is None:
        raise NotSignedIn("The token is unknown, revoked or past its end.", fix="make another one.")
    return actor


async def _check_csrf(request: Request, expected: str) -> None:
    given = request.headers.get(CSRF_HEADER, "")
    if not given and request.headers.get("Content-Type", "").startswith(_FORMS):
        given = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotAllowed(
            "This form was not made for your session.", fix="load the page again, then repeat."
        )
