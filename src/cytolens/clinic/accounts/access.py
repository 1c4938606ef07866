"""What lets an account in, ended at once: sessions, machines' tokens, links, known browsers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.accounts import devices, invitations, sessions, tokens
from cytolens.clinic.tables import Invitation, SignIn, Token, User


@dataclass(frozen=True)
class Ended:
    """How many there were."""

    sessions: int
    tokens: int
    links: int


def end(db: Session, user: User) -> None:
    """End all of one account; its password, if it has one, is what is left."""
    sessions.end_all(db, user.id)
    tokens.revoke_all(db, user.id)
    invitations.revoke(db, user.id)
    devices.forget_all(db, user)


def end_everybodys(db: Session) -> Ended:
    """End all of all accounts."""
    now, changed = clock.now(), sessions.changed
    for user in db.scalars(select(User).order_by(User.id)):
        devices.forget_all(db, user)
    revoke = update(Token).where(Token.revoked_at.is_(None)).values(revoked_at=now)
    close = update(Invitation).where(Invitation.used_at.is_(None)).values(used_at=now)
    return Ended(changed(db, delete(SignIn)), changed(db, revoke), changed(db, close))
