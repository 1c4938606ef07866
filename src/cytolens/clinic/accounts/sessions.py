"""Sessions on the server: the browser holds a random token, the database its hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    CursorResult,
    Delete,
    Update,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import SignIn, Site, User
from cytolens.clinic.tables.people import user_site

COOKIE = "cytolens_session"
_SEEN_EVERY = timedelta(minutes=1)  # the database is not written on every request
_WAITS = timedelta(minutes=10)  # for the second factor


@dataclass(frozen=True)
class Opened:
    """A session as the browser gets it: `token` for the cookie, `csrf` for its forms.

    Attributes:
        device: by which the browser is known from now on (`devices`); "": as before.
    """

    token: str
    csrf: str
    device: str = ""


@dataclass(frozen=True)
class Current:
    """The session of a request."""

    id: int
    actor: Actor
    csrf: str
    second_factor: bool  # passed, or not asked for
    stale: bool  # `seen` wants to be called


@dataclass(frozen=True)
class SessionView:
    """A session as its owner sees it."""

    id: int
    created_at: datetime
    seen_at: datetime
    address: str
    agent: str


_SESSION = (  # asked by every request: one statement, and no objects
    select(
        SignIn.id, SignIn.csrf, SignIn.second_factor, SignIn.seen_at, SignIn.expires_at,
        SignIn.user_id, User.username, User.role, User.language, User.name, User.active,
        Site.id.label("site_id"),
    )
    .join(User, User.id == SignIn.user_id)
    .outerjoin(user_site, user_site.c.user_id == User.id)
    .outerjoin(Site, and_(Site.id == user_site.c.site_id, Site.active))
    .where(SignIn.token_hash == bindparam("hash"))
)  # fmt: skip


def cookie_name(settings: Settings) -> str:
    """Return the cookie's name; over https browsers bind `__Host-` to this host and to https."""
    return f"__Host-{COOKIE}" if settings.https else COOKIE


def token_hash(token: str) -> str:
    """Return what the database keeps of a random token: its SHA-256, hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def open_session(
    db: Session, user: User, settings: Settings, *, address: str, agent: str, second_factor: bool
) -> Opened:
    """Start a session; one that waits for the second factor lives for ten minutes."""
    opened = Opened(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    lives = timedelta(hours=settings.session_hours) if second_factor else _WAITS
    db.add(
        SignIn(
            user_id=user.id,
            token_hash=token_hash(opened.token),
            csrf=opened.csrf,
            second_factor=second_factor,
            created_at=clock.now(),
            seen_at=clock.now(),
            expires_at=clock.now() + lives,
            address=address[:64],
            agent=agent[:200],
        )
    )
    db.flush()
    return opened


def find_session(db: Session, token: str, settings: Settings, address: str) -> Current | None:
    """Return the session of a cookie, or None where it is unknown, ended or of a closed account."""
    rows = db.execute(_SESSION, {"hash": token_hash(token)}).all()  # one a site
    if not rows or not rows[0].active or clock.now() >= rows[0].expires_at:
        return None
    found = rows[0]
    if clock.now() - found.seen_at >= timedelta(minutes=settings.idle_minutes):
        return None
    actor = Actor(
        user=found.user_id,
        username=found.username,
        role=Role(found.role),
        sites=frozenset(row.site_id for row in rows if row.site_id is not None),
        address=address,
        language=found.language,
        name=found.name,
        session=found.id,
    )
    stale = clock.now() - found.seen_at >= _SEEN_EVERY
    return Current(found.id, actor, found.csrf, found.second_factor, stale)


def seen(db: Session, session_id: int) -> None:
    """Note that a session is in use."""
    owner = select(SignIn.user_id).where(SignIn.id == session_id).scalar_subquery()
    db.execute(update(User).where(User.id == owner).values(seen_at=clock.now()))
    db.execute(update(SignIn).where(SignIn.id == session_id).values(seen_at=clock.now()))


def list_sessions(db: Session, actor: Actor, settings: Settings) -> list[SessionView]:
    """Return an account's own sessions that live, the one used last first."""
    found = db.scalars(
        select(SignIn)
        .where(
            SignIn.user_id == actor.user,
            SignIn.second_factor,
            SignIn.expires_at > clock.now(),
            SignIn.seen_at > clock.now() - timedelta(minutes=settings.idle_minutes),
        )
        .order_by(SignIn.seen_at.desc(), SignIn.id.desc())
    )
    return [SessionView(s.id, s.created_at, s.seen_at, s.address, s.agent) for s in found]


def end(db: Session, actor: Actor, session_id: int) -> None:
    """End one of an account's own sessions.

    Raises:
        NotFound: there is none, or it is another account's.
    """
    found = db.get(SignIn, session_id)
    if found is None or found.user_id != actor.user:
        raise NotFound("There is no such session.")
    db.delete(found)
    trail.record(db, actor, "user.signed_out", "user", found.user_id)


def end_all(db: Session, user_id: int, but: int | None = None) -> int:
    """End all sessions of an account but one, and return how many there were."""
    asked = delete(SignIn).where(SignIn.user_id == user_id)
    return changed(db, asked if but is None else asked.where(SignIn.id != but))


def end_token(db: Session, token: str) -> None:
    """End the session of a cookie, if it is one."""
    db.execute(delete(SignIn).where(SignIn.token_hash == token_hash(token)))


def purge(db: Session, settings: Settings) -> int:
    """Remove the rows of sessions that have ended, and return how many there were."""
    idle = clock.now() - timedelta(minutes=settings.idle_minutes)
    ended = or_(SignIn.expires_at <= clock.now(), SignIn.seen_at <= idle)
    return changed(db, delete(SignIn).where(ended))


def changed(db: Session, asked: Update | Delete) -> int:
    """Run a statement, and return how many rows it concerned."""
    done = db.execute(asked)
    assert isinstance(done, CursorResult)
    return done.rowcount


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
