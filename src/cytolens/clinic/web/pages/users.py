"""Accounts: list and search, invite, change, disable, reset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.orm import Session

from cytolens.clinic.accounts import invitations
from cytolens.clinic.accounts.names import LANGUAGES
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import directory, users
from cytolens.clinic.management.sites import choices
from cytolens.clinic.rights import Action, Role
from cytolens.clinic.web.guard import Clinic, Id, May
from cytolens.clinic.web.refusals import done_or_shown
from cytolens.clinic.web.render import page

router = APIRouter()
Manager = Annotated[Actor, Depends(May(Action.MANAGE_USERS))]
Text = Annotated[str, Form()]
Sites = Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]] | None, Form()]


@router.get("/users")
def show_users(
    request: Request,
    actor: Manager,
    clinic: Clinic,
    search: Annotated[str, Query(max_length=200)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=10**6)] = 1,
) -> Response:
    """List accounts, searched by a part of the name."""
    with clinic.reading() as db:
        found = directory.list_users(db, actor, search, number)
    here = f"/users?{urlencode({'search': search})}" if search else "/users"
    return page(request, "management/users.html.j2", found=found, search=search, here=here)


@router.get("/users/new")
def ask_invitation(request: Request, actor: Manager, clinic: Clinic) -> Response:
    """Ask whom to invite."""
    return _invitation(request, actor, clinic)


@router.post("/users")
def invite(
    request: Request,
    actor: Manager,
    clinic: Clinic,
    username: Text,
    name: Text,
    role: Text,
    language: Text = "en",
    sites: Sites = None,
) -> Response:
    """Make an account, and show its link this once."""
    try:
        with clinic.writing() as db:
            user_id, token = users.invite(db, actor, username, name, role, sites or [], language)
    except Refused as error:
        typed = {"username": username, "name": name, "role": role, "language": language}
        return _invitation(request, actor, clinic, error, sites=sites or [], **typed)
    return _link(request, actor, clinic, user_id, token)


@router.get("/users/{user_id}")
def show_user(request: Request, actor: Manager, clinic: Clinic, user_id: Id) -> Response:
    """Show an account."""
    return _user(request, actor, clinic, user_id)


@router.post("/users/{user_id}")
def change_user(
    request: Request,
    actor: Manager,
    clinic: Clinic,
    user_id: Id,
    name: Text,
    role: Text,
    sites: Sites = None,
) -> Response:
    """Change name, role and sites."""

    def change(db: Session) -> None:
        users.rename(db, actor, user_id, name)
        users.assign(db, actor, user_id, role, sites or [])

    return _done(request, actor, clinic, user_id, change, "saved")


@router.post("/users/{user_id}/disable")
def disable(request: Request, actor: Manager, clinic: Clinic, user_id: Id) -> Response:
    """Close an account."""

    def change(db: Session) -> None:
        users.disable(db, actor, user_id)

    return _done(request, actor, clinic, user_id, change, "disabled")


@router.post("/users/{user_id}/enable")
def enable(request: Request, actor: Manager, clinic: Clinic, user_id: Id) -> Response:
    """Open a closed account again."""

    def change(db: Session) -> None:
        users.enable(db, actor, user_id)

    return _done(request, actor, clinic, user_id, change, "enabled")


@router.post("/users/{user_id}/reset")
def reset(request: Request, actor: Manager, clinic: Clinic, user_id: Id) -> Response:
    """End the password and all sessions, and show a link for a new one this once."""
    try:
        with clinic.writing() as db:
            token = users.reset(db, actor, user_id)
    except NotFound:
        raise
    except Refused as error:
        return _user(request, actor, clinic, user_id, error)
    return _link(request, actor, clinic, user_id, token)


@router.post("/users/{user_id}/second-factor/off")
def remove_second_factor(request: Request, actor: Manager, clinic: Clinic, user_id: Id) -> Response:
    """Turn off the second factor of somebody who lost it."""

    def change(db: Session) -> None:
        users.remove_second_factor(db, actor, user_id)

    return _done(request, actor, clinic, user_id, change, "no-second-factor")


def _done(
    request: Request,
    actor: Actor,
    clinic: Installation,
    user_id: int,
    change: Callable[[Session], None],
    word: str,
) -> Response:
    """Do it in one transaction, then show the account with what was done, or was wrong."""

    def show(error: Refused) -> Response:
        return _user(request, actor, clinic, user_id, error)

    return done_or_shown(clinic, change, f"/users/{user_id}?done={word}", show)


def _invitation(
    request: Request,
    actor: Actor,
    clinic: Installation,
    error: Refused | None = None,
    **typed: Any,
) -> Response:
    empty = {"username": "", "name": "", "role": "doctor", "language": "en", "sites": []}
    with clinic.reading() as db:
        offered = choices(db, actor)
    return page(
        request,
        "management/users_new.html.j2",
        status=error.status if error else 200,
        error=error,
        typed=empty | typed,
        roles=list(Role),
        languages=LANGUAGES,
        sites=offered,
    )


def _user(
    request: Request,
    actor: Actor,
    clinic: Installation,
    user_id: int,
    error: Refused | None = None,
) -> Response:
    with clinic.reading() as db:
        user = directory.find(db, actor, user_id)
        offered = choices(db, actor)
    return page(
        request,
        "management/users_one.html.j2",
        status=error.status if error else 200,
        error=error,
        user=user,
        roles=list(Role),
        sites=offered,
    )


def _link(
    request: Request, actor: Actor, clinic: Installation, user_id: int, token: str
) -> Response:
    with clinic.reading() as db:
        user = directory.find(db, actor, user_id)
    return page(
        request,
        "management/users_link.html.j2",
        user=user,
        link=f"{clinic.settings.url}/welcome/{token}",
        hours=invitations.HOURS,
    )
