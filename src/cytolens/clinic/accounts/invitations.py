"""Invitations: a link that works once, for a first password or a new one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import devices, lockout, passwords, sessions
from cytolens.clinic.accounts.names import clean_name, clean_username
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Conflict, NotFound
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Invitation, User

HOURS = 72
UNNAMED = "~first"  # user name of the first administrator until it chose one; no name begins so


@dataclass(frozen=True)
class Welcome:
    """Whom a link is for.

    Attributes:
        chooses_name: user name and name are chosen on the page (the first administrator).
    """

    username: str
    name: str
    chooses_name: bool


def invite(db: Session, actor: Actor, user: User) -> str:
    """Return the token of a new link for an account; earlier links end."""
    revoke(db, user.id)
    token = secrets.token_urlsafe(32)
    db.add(
        Invitation(
            user_id=user.id,
            token_hash=sessions.token_hash(token),
            created_at=clock.now(),
            expires_at=clock.now() + timedelta(hours=HOURS),
        )
    )
    trail.record(db, actor, "user.invited", "user", user.id, hours=HOURS)
    return token


def revoke(db: Session, user_id: int) -> None:
    """End the links of an account."""
    open_ones = (Invitation.user_id == user_id, Invitation.used_at.is_(None))
    db.execute(update(Invitation).where(*open_ones).values(used_at=clock.now()))


def welcome(clinic: Installation, token: str) -> Welcome:
    """Return whom a link is for.

    Raises:
        NotFound: it is unknown, used or past its end: one answer for all.
    """
    with clinic.reading() as db:
        user = _find(db, token).user
        chooses = user.username == UNNAMED
        return Welcome("" if chooses else user.username, user.name, chooses)


def accept(
    clinic: Installation, token: str, password: str, *, address: str, username: str = "",
    name: str = "",
) -> str:  # fmt: skip
    """Choose the password, with which the link ends, and all sessions; return the user name.

    Args:
        username, name: of the first administrator alone.

    Raises:
        NotFound: the link does not work (any more).
        Refused: a weak password, a user name that is none.
    """
    known = welcome(clinic, token)
    if known.chooses_name:
        known = Welcome(clean_username(username), clean_name(name), True)
    passwords.check_strength(password, known.username, known.name)
    made = passwords.hash_password(password)
    with clinic.writing() as db:
        trail.take_turn(db)
        found = _find(db, token, lock=True)
        found.used_at = clock.now()
        user = found.user
        if known.chooses_name and user.username != UNNAMED:
            raise Conflict("The first administrator has a name already.")
        user.username, user.name = known.username, known.name
        user.password_hash = made
        lockout.open_again(db, user)
        devices.forget_all(db, user)
        sessions.end_all(db, user.id)
        actor = sessions.actor_of(user, address)
        trail.record(db, actor, "user.password_chosen", "user", user.id)
    return known.username


def _find(db: Session, token: str, lock: bool = False) -> Invitation:
    asked = select(Invitation).where(Invitation.token_hash == sessions.token_hash(token))
    found = db.scalar(asked.with_for_update() if lock else asked)
    if (
        found is None
        or found.used_at is not None
        or clock.now() >= found.expires_at
        or not found.user.active
    ):
        raise NotFound(
            "This link is unknown, was used, or is past its end.",
            fix="ask the administrator for a new one.",
        )
    return found
