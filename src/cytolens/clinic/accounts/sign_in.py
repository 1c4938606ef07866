"""Signing in and out: the same answer, in the same time, whatever is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import lockout, passwords, second_factor, sessions
from cytolens.clinic.accounts.names import is_username
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotSignedIn
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import User


@dataclass(frozen=True)
class Caller:
    """The browser at the other end: where it is, what it says it is, the cookie it came with."""

    address: str
    agent: str = ""
    earlier: str = ""

    @property
    def stranger(self) -> Actor:
        """For the audit log alone, before it is known who this is."""
        return Actor(None, "nobody", None, address=self.address[:64])


def sign_in(
    clinic: Installation, username: str, password: str, caller: Caller
) -> tuple[sessions.Opened, bool]:
    """Check a password and start a session, always a fresh one: what came before is ended.

    Returns:
        The session, and whether it still waits for the second factor.

    Raises:
        NotSignedIn: the user name is unknown, the password wrong, the account locked, disabled
            or without a password yet: one answer for all, which takes as long.
    """
    called = username.strip().lower()
    with clinic.reading() as db:
        asked = select(User).where(User.username == (called if is_username(called) else ""))
        user = db.scalar(asked)
        known = None if user is None else (user.id, user.password_hash)
    right = passwords.matches(password, known[1] if known else None)
    made = ""
    if right and known and known[1] and passwords.outdated(known[1]):
        made = passwords.hash_password(password)
    with clinic.writing() as db:
        opened = _open(clinic, db, known, right, made, caller)
    if opened is None:
        raise refusal(clinic)
    return opened


def _open(
    clinic: Installation,
    db: Session,
    known: tuple[int, str | None] | None,
    right: bool,
    made: str,
    caller: Caller,
) -> tuple[sessions.Opened, bool] | None:
    """Judge again within the transaction that counts; None: refused, and that is kept."""
    trail.take_turn(db)
    sessions.purge(db, clinic.settings)
    if known is None:
        trail.record(db, caller.stranger, "user.refused", "user", "unknown", wrong="user name")
        return None
    user = db.scalars(select(User).where(User.id == known[0]).with_for_update()).one()
    if not right:
        lockout.count_failure(db, user.id, clinic.settings, caller.stranger, "password")
        return None
    if not user.active or lockout.is_locked(user) or user.password_hash != known[1]:
        why = "locked" if lockout.is_locked(user) else "disabled or changed"
        trail.record(db, caller.stranger, "user.refused", "user", user.id, wrong=why)
        return None
    if made:
        user.password_hash = made
    waits = user.totp_secret is not None
    if not waits:
        _complete(db, user, caller)
    if caller.earlier:
        sessions.end_token(db, caller.earlier)
    opened = sessions.open_session(
        db,
        user,
        clinic.settings,
        address=caller.address,
        agent=caller.agent,
        second_factor=not waits,
    )
    return opened, waits


def _complete(db: Session, user: User, caller: Caller) -> None:
    lockout.open_again(user)
    user.seen_at = clock.now()
    actor = sessions.actor_of(user, caller.address)
    trail.record(db, actor, "user.signed_in", "user", user.id)


def pass_second_factor(
    clinic: Installation, actor: Actor, code: str, caller: Caller
) -> sessions.Opened:
    """Take a code, and put a fresh session in the place of the one that waited.

    Raises:
        NotSignedIn: the code is wrong or used, or the account is locked.
    """
    with clinic.writing() as db:
        trail.take_turn(db)
        user = db.scalars(select(User).where(User.id == actor.user).with_for_update()).one()
        if not user.active or lockout.is_locked(user):
            sessions.end_token(db, caller.earlier)
            opened = None
        elif second_factor.take(db, user, code, clinic.secret):
            sessions.end_token(db, caller.earlier)
            _complete(db, user, caller)
            opened = sessions.open_session(
                db,
                user,
                clinic.settings,
                address=caller.address,
                agent=caller.agent,
                second_factor=True,
            )
        else:
            lockout.count_failure(db, user.id, clinic.settings, actor, "code")
            opened = None
    if opened is None:
        raise NotSignedIn("The code is wrong, or was used.", fix=lockout.rule(clinic.settings))
    return opened


def sign_out(clinic: Installation, session: sessions.Current) -> None:
    """End the session of a request."""
    with clinic.writing() as db:
        sessions.end(db, session.actor, session.id)


def refusal(clinic: Installation) -> NotSignedIn:
    """Return the one answer to everybody who is not let in."""
    return NotSignedIn("The user name or the password is wrong.", fix=lockout.rule(clinic.settings))
