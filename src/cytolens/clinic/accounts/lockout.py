"""Wrong passwords and codes are counted; too many lock a sign-in, or end who is signed in.

Three counts that do not touch each other: of browsers that are new to an account (`User`), of each
browser that signed in to it before (`Device`), and of each session or machine's token that is asked
again who it is (`SignIn`, `Token`).
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotSignedIn
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Device, SignIn, Token, User

Counted = User | Device
Holder = SignIn | Token


def rule(settings: Settings, actor: Actor | None = None) -> str:
    """Return the sentence that tells what too many tries do: of a sign-in, or of one signed in."""
    if actor is None:
        return (
            f"try again; after {settings.login_tries} wrong tries an account is locked for "
            f"{settings.lock_minutes} minutes; a browser that signed in to it before counts its "
            "own tries."
        )
    if actor.token is not None:
        return f"try again; after {settings.login_tries} wrong tries this token is revoked."
    return f"try again; after {settings.login_tries} wrong tries this session ends."


# --- signing in


def counted(db: Session, user: User, device: str) -> Counted:
    """Return the row that counts the tries of a browser at an account.

    Args:
        user: locked by the present transaction, which stands for its devices too.
        device: the browser's number (`devices.number`); "": it is new to the account.
    """
    if not device:
        return user
    found = db.get(Device, (user.id, device))
    return found or Device(user_id=user.id, number=device, failures=0)


def is_locked(row: Counted) -> bool:
    """Tell whether a sign-in is refused at present."""
    return row.locked_until is not None and clock.now() < row.locked_until


def count_failure(db: Session, row: Counted, settings: Settings, actor: Actor, what: str) -> None:
    """Count a wrong "password" or "code" in the present transaction, and lock after too many.

    The count goes on over a lock and ends with a full sign-in: every `login_tries` failures lock.
    """
    if is_locked(row):
        return
    new = isinstance(row, User)
    user_id, browser = (row.id, "new") if isinstance(row, User) else (row.user_id, "known")
    if not new:
        db.add(row)
    row.failures += 1
    trail.record(
        db, actor, "user.refused", "user", user_id,
        wrong=what, failures=row.failures, browser=browser,
    )  # fmt: skip
    if row.failures % settings.login_tries == 0:
        row.locked_until = clock.now() + timedelta(minutes=settings.lock_minutes)
        trail.record(
            db, actor, "user.locked", "user", user_id,
            minutes=settings.lock_minutes, browser=browser,
        )  # fmt: skip


def forgive(row: Counted) -> None:
    """Forget the failures and the lock of one count, after a full sign-in."""
    row.failures = 0
    row.locked_until = None


def open_again(db: Session, user: User) -> None:
    """Forget all failures and locks of an account's sign-in."""
    forgive(user)
    db.execute(delete(Device).where(Device.user_id == user.id))


# --- asked again


def holder(db: Session, actor: Actor) -> Holder | None:
    """Return the session or token by which an account acts, locked until the transaction's end.

    None: the program itself acts for the account, as the demonstration does when it is made.

    Raises:
        NotSignedIn: it has ended meanwhile, so that tries sent all at once are not more tries.
    """
    if actor.session is not None:
        session = db.get(SignIn, actor.session, with_for_update={"of": SignIn})
        if session is None:
            raise NotSignedIn("This session has ended.", fix="sign in again.")
        return session
    if actor.token is not None:
        token = db.get(Token, actor.token, with_for_update={"of": Token})
        if token is None or token.revoked_at is not None:
            raise NotSignedIn("This token was revoked.", fix="make another one.")
        return token
    return None


def count_confirmation(
    db: Session, row: Holder | None, settings: Settings, actor: Actor, what: str
) -> NotSignedIn | None:
    """Count a wrong "password" or "code" of one signed in; too many end what it was tried by.

    Returns:
        What is said where it has ended.
    """
    failures = 0
    if row is not None:
        row.failures += 1
        failures = row.failures
    trail.record(db, actor, "user.unconfirmed", "user", actor.user, wrong=what, failures=failures)
    if row is None or row.failures < settings.login_tries:
        return None
    if isinstance(row, Token):
        row.revoked_at = clock.now()
        trail.record(db, actor, "token.revoked", "token", row.id, why="wrong confirmations")
        return NotSignedIn(
            "There were too many wrong passwords or codes: this token was revoked.",
            fix="make another one.",
        )
    db.delete(row)
    trail.record(db, actor, "user.signed_out", "user", actor.user, why="wrong confirmations")
    return NotSignedIn(
        "There were too many wrong passwords or codes: this session has ended.",
        fix="sign in again.",
    )
