"""Sessions on the server: the browser holds a random token, the database its hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.clock import now
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import SignIn, User

COOKIE = "cytolens_session"
_SEEN_EVERY = timedelta(minutes=1)  # the database is not written on every request


@dataclass(frozen=True)
class Opened:
    """A session as the browser gets it: `token` for the cookie, `csrf` for its forms."""

    token: str
    csrf: str


@dataclass(frozen=True)
class Current:
    """The session of a request."""

    id: int
    actor: Actor
    csrf: str
    second_factor: bool  # passed, or not asked for
    stale: bool  # `seen` wants to be called


def token_hash(token: str) -> str:
    """Return what the database keeps of a random token: its SHA-256, hex."""
    return hashlib.sha256(token.encode("utf-8")).hexdigest()


def open_session(
    db: Session, user: User, settings: Settings, *, address: str, agent: str, second_factor: bool
) -> Opened:
    """Start a session."""
    opened = Opened(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    db.add(
        SignIn(
            user_id=user.id,
            token_hash=token_hash(opened.token),
            csrf=opened.csrf,
            second_factor=second_factor,
            created_at=now(),
            seen_at=now(),
            expires_at=now() + timedelta(hours=settings.session_hours),
            address=address[:64],
            agent=agent[:200],
        )
    )
    db.flush()
    return opened


def find_session(db: Session, token: str, settings: Settings, address: str) -> Current | None:
    """Return the session of a cookie, or None where it is unknown, ended or of a closed account."""
    found = db.scalar(select(SignIn).where(SignIn.token_hash == token_hash(token)))
    if found is None or not found.user.active or now() >= found.expires_at:
        return None
    if now() - found.seen_at >= timedelta(minutes=settings.idle_minutes):
        return None
    return Current(
        found.id,
        actor_of(found.user, address),
        found.csrf,
        found.second_factor,
        now() - found.seen_at >= _SEEN_EVERY,
    )


def seen(db: Session, session_id: int) -> None:
    """Note that a session is in use."""
    found = db.get(SignIn, session_id)
    if found is not None:
        found.seen_at = now()


def actor_of(user: User, address: str) -> Actor:
    """Return the actor of an account."""
    return Actor(
        user=user.id,
        username=user.username,
        role=Role(user.role),
        sites=frozenset(site.id for site in user.sites if site.active),
        address=address,
        language=user.language,
        name=user.name,
    )
