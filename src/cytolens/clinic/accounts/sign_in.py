"""Signing in and out: the same answer, in the same time, whatever is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import devices, lockout, passwords, second_factor, sessions
from cytolens.clinic.accounts.names import is_username
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotSignedIn
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import User


@dataclass(frozen=True)
class Caller:
    """The browser at the other end: where it is, what it says it is, the cookies it came with.

    Attributes:
        earlier: token of the session that it had.
        device: what it is known by (`devices`).
    """

    address: str
    agent: str = ""
    earlier: str = ""
    device: str = ""

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
        NotSignedIn: the user name is unknown, the password wrong, the account locked for this
            browser, disabled or without a password yet: one answer for all, which takes as long.
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


def counted_as(clinic: Installation, username: str, caller: Caller) -> str:
    """Return what tries are rated by: the name, and the browser where the account knows it."""
    called = username.strip().lower()
    known = devices.number_of(clinic, caller.device, called if is_username(called) else "")
    return sessions.token_hash(f"{called} {known}")


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
    counted = _counted(clinic, db, user, caller)
    if not right:
        lockout.count_failure(db, counted, clinic.settings, caller.stranger, "password")
        return None
    if not user.active or lockout.is_locked(counted) or user.password_hash != known[1]:
        why = "locked" if lockout.is_locked(counted) else "disabled or changed"
        trail.record(db, caller.stranger, "user.refused", "user", user.id, wrong=why)
        return None
    if made:
        user.password_hash = made
    waits = user.totp_secret is not None
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
    return (opened if waits else _complete(clinic, db, user, caller, opened)), waits


def _counted(clinic: Installation, db: Session, user: User, caller: Caller) -> lockout.Counted:
    return lockout.counted(db, user, devices.number(clinic.secret, caller.device, user))


def _complete(
    clinic: Installation, db: Session, user: User, caller: Caller, opened: sessions.Opened
) -> sessions.Opened:
    """Note a full sign-in; the session with what makes this browser a known one."""
    lockout.forgive(_counted(clinic, db, user, caller))
    user.seen_at = clock.now()
    actor = sessions.actor_of(user, caller.address)
    trail.record(db, actor, "user.signed_in", "user", user.id)
    return replace(opened, device=devices.remember(clinic.secret, caller.device, user))


def pass_second_factor(
    clinic: Installation, actor: Actor, code: str, caller: Caller
) -> sessions.Opened:
    """Take a code, and put a fresh session in the place of the one that waited.

    Raises:
        NotSignedIn: the code is wrong or used, or the account is locked for this browser.
    """
    with clinic.writing() as db:
        trail.take_turn(db)
        user = db.scalars(select(User).where(User.id == actor.user).with_for_update()).one()
        counted = _counted(clinic, db, user, caller)
        if not user.active or lockout.is_locked(counted):
            sessions.end_token(db, caller.earlier)
            opened = None
        elif second_factor.take(db, user, code, clinic.secret):
            sessions.end_token(db, caller.earlier)
            opened = sessions.open_session(
                db,
                user,
                clinic.settings,
                address=caller.address,
                agent=caller.agent,
                second_factor=True,
            )
            opened = _complete(clinic, db, user, caller, opened)
        else:
            lockout.count_failure(db, counted, clinic.settings, actor, "code")
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
