"""Accounts: list and search, invite, change, disable, reset."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query

from cytolens.clinic.accounts import invitations
from cytolens.clinic.actor import Actor
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import directory, users
from cytolens.clinic.rights import Action
from cytolens.clinic.web.api.models.management import Link, NewUser, Placed, User, Users
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES, Line, PageNumber
from cytolens.clinic.web.api.routing import group
from cytolens.clinic.web.guard import Clinic, Id, May

router = group("users")
Manager = Annotated[Actor, Depends(May(Action.MANAGE_USERS))]


@router.get("/users", response_model=Users, responses=ASKED, summary="Search accounts")
def search(
    clinic: Clinic,
    actor: Manager,
    q: Annotated[Line, Query(description="A part of the user name or name.")] = "",
    number: PageNumber = 1,
) -> directory.UserPage:
    """Return accounts, the active ones first, by name; 50 a page."""
    with clinic.reading() as db:
        return directory.list_users(db, actor, q, number)


@router.post(
    "/users", response_model=Link, status_code=201, responses=CHANGES, summary="Invite somebody"
)
def invite(clinic: Clinic, actor: Manager, given: NewUser) -> dict[str, Any]:
    """Make an account, and return its link, which is shown this once."""
    with clinic.writing() as db:
        user_id, token = users.invite(
            db, actor, given.username, given.name, given.role, given.sites, given.language
        )
    return _link(clinic, user_id, token)


@router.get("/users/{user_id}", response_model=User, responses=ASKED, summary="An account")
def show(clinic: Clinic, actor: Manager, user_id: Id) -> directory.UserView:
    """Return an account."""
    return _found(clinic, actor, user_id)


@router.put("/users/{user_id}", response_model=User, responses=CHANGES, summary="Change an account")
def change(clinic: Clinic, actor: Manager, user_id: Id, given: Placed) -> directory.UserView:
    """Change name, role and laboratories; a changed role ends the account's tokens."""
    with clinic.writing() as db:
        users.rename(db, actor, user_id, given.name)
        users.assign(db, actor, user_id, given.role, given.sites)
    return _found(clinic, actor, user_id)


@router.post(
    "/users/{user_id}/disable", response_model=User, responses=CHANGES, summary="Close an account"
)
def disable(clinic: Clinic, actor: Manager, user_id: Id) -> directory.UserView:
    """Close an account; its sessions, tokens and links end at once."""
    with clinic.writing() as db:
        users.disable(db, actor, user_id)
    return _found(clinic, actor, user_id)


@router.post(
    "/users/{user_id}/enable", response_model=User, responses=CHANGES, summary="Open it again"
)
def enable(clinic: Clinic, actor: Manager, user_id: Id) -> directory.UserView:
    """Open a closed account again; its password works as before."""
    with clinic.writing() as db:
        users.enable(db, actor, user_id)
    return _found(clinic, actor, user_id)


@router.post(
    "/users/{user_id}/reset", response_model=Link, responses=CHANGES, summary="Reset a password"
)
def reset(clinic: Clinic, actor: Manager, user_id: Id) -> dict[str, Any]:
    """End the password, sessions and tokens, and return a link for a new password."""
    with clinic.writing() as db:
        token = users.reset(db, actor, user_id)
    return _link(clinic, user_id, token)


@router.post(
    "/users/{user_id}/second-factor/off",
    response_model=User,
    responses=CHANGES,
    summary="Turn off a second factor",
)
def remove_second_factor(clinic: Clinic, actor: Manager, user_id: Id) -> directory.UserView:
    """Turn off the second factor of somebody who lost it."""
    with clinic.writing() as db:
        users.remove_second_factor(db, actor, user_id)
    return _found(clinic, actor, user_id)


def _found(clinic: Installation, actor: Actor, user_id: int) -> directory.UserView:
    with clinic.reading() as db:
        return directory.find(db, actor, user_id)


def _link(clinic: Installation, user_id: int, token: str) -> dict[str, Any]:
    link = f"{clinic.settings.url}/welcome/{token}"
    return {"user_id": user_id, "link": link, "hours": invitations.HOURS}
