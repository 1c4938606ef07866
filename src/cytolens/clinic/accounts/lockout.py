"""Wrong passwords and codes are counted; too many lock an account for a while."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotAllowed
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import User


def is_locked(user: User) -> bool:
    """Tell whether an account takes no password at present."""
    return user.locked_until is not None and clock.now() < user.locked_until


def refusal(user: User) -> NotAllowed:
    """Return what is said to whom a locked account belongs."""
    assert user.locked_until is not None
    minutes = -(-(user.locked_until - clock.now()) // timedelta(minutes=1))
    return NotAllowed(
        "This account is locked after too many wrong passwords or codes.",
        fix=f"try again in {minutes} minutes, or ask the administrator for a new link.",
    )


def rule(settings: Settings) -> str:
    """Return the sentence that tells of the lock."""
    return (
        f"try again; after {settings.login_tries} wrong tries an account is locked for "
        f"{settings.lock_minutes} minutes."
    )


def count_failure(db: Session, user_id: int, settings: Settings, actor: Actor, what: str) -> None:
    """Count a wrong "password" or "code" in the present transaction, and lock after too many.

    The count goes on over a lock and ends with a full sign-in: every `login_tries` failures lock.
    """
    trail.take_turn(db)
    user = db.scalars(select(User).where(User.id == user_id).with_for_update()).one()
    if is_locked(user):
        return
    user.failures += 1
    trail.record(db, actor, "user.refused", "user", user_id, wrong=what, failures=user.failures)
    if user.failures % settings.login_tries == 0:
        user.locked_until = clock.now() + timedelta(minutes=settings.lock_minutes)
        trail.record(db, actor, "user.locked", "user", user_id, minutes=settings.lock_minutes)


def open_again(user: User) -> None:
    """Forget failures and the lock."""
    user.failures = 0
    user.locked_until = None
