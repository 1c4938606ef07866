"""Every route says what it asks of whoever calls it: one action, or that it is public."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from starlette.concurrency import run_in_threadpool

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


async def _clinic(request: Request) -> Installation:
    return clinic(request)  # as a coroutine, it takes no turn among the threads


Clinic = Annotated[Installation, Depends(_clinic)]
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]  # as a database keeps it


def address_of(request: Request) -> str:
    """Return where a request came from."""
    return request.client.host[:64] if request.client else "local"


class May:
    """Lets through who may do one thing: `actor: Annotated[Actor, Depends(May(Action.…))]`.

    A browser shows its session's cookie and, unless it only reads, the session's CSRF token (in a
    header or the form field `csrf`); a machine shows its token in `Authorization: Bearer …` and
    is let into `/api/` alone.
    """

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Actor:
        if bearer := _bearer(request):
            actor = await run_in_threadpool(_machine, clinic(request), bearer, address_of(request))
            request.state.actor = actor
            actor.must(self.action)
            return actor
        current = await run_in_threadpool(current_session, request)
        if current is None or not current.second_factor:
            raise NotSignedIn("Nobody is signed in.", fix="sign in.")
        request.state.actor = current.actor
        request.state.csrf = current.csrf
        request.state.session = current.id
        current.actor.must(self.action)  # before a form is read for its token
        if request.method not in _SAFE:
            await _check_csrf(request, current.csrf)
        return current.actor


class Public:
    """Marks a route that asks for nothing."""

    async def __call__(self, request: Request) -> None:
        del request


def guards(dependant: Dependant) -> Iterator[May | Public]:
    """Yield the guards of a route (`route.dependant`); a test sees to it that there is one."""
    for one in dependant.dependencies:
        if isinstance(one.call, May | Public):
            yield one.call
        yield from guards(one)


def current_session(request: Request) -> sessions.Current | None:
    """Return the session of a request's cookie, if it has one that lives."""
    installation = clinic(request)
    token = request.cookies.get(sessions.cookie_name(installation.settings))
    if not token:
        return None
    with installation.reading() as db:
        found = sessions.find_session(db, token, installation.settings, address_of(request))
    if found is not None and found.stale:
        with installation.writing() as db:
            sessions.seen(db, found.id)
    return found


async def is_somebody(request: Request) -> bool:
    """Tell whether a request comes with a session or token that lives; not what it may do."""
    if bearer := _bearer(request):
        address = address_of(request)
        actor = await run_in_threadpool(actor_of_token, clinic(request), bearer, address)
        return actor is not None
    current = await run_in_threadpool(current_session, request)
    return current is not None and current.second_factor


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
    try:
        same_csrf(given, expected)
    except NotAllowed:
        await request.close()  # the files that came with it
        raise


def same_csrf(given: str, expected: str) -> None:
    """Raise `NotAllowed` unless a form was made for the session."""
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8")):
        raise NotAllowed(
            "This form was not made for your session.", fix="load the page again, then repeat."
        )
