"""The list of accounts, searched and a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cytolens.clinic.accounts import lockout
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import entered
from cytolens.clinic.management.users import get
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import User

PAGE = 50


@dataclass(frozen=True)
class UserView:
    """An account as the administrator sees it.

    Attributes:
        sites: ids.
        waits: no password was chosen yet.
    """

    id: int
    username: str
    name: str
    role: str
    sites: tuple[int, ...]
    site_names: tuple[str, ...]
    active: bool
    waits: bool
    locked: bool
    second_factor: bool
    seen_at: datetime | None


@dataclass(frozen=True)
class UserPage:
    """A page of accounts; `pages` in all, at least one."""

    users: tuple[UserView, ...]
    total: int
    page: int
    pages: int


def list_users(db: Session, actor: Actor, search: str = "", page: int = 1) -> UserPage:
    """Return accounts, the active ones first, by name.

    Args:
        search: a part of the user name or name, in either case and without accents.
        page: from 1; past the end: the last one.
    """
    actor.must(Action.MANAGE_USERS)
    shown = "".join(sign for sign in search if sign.isprintable())
    part = shown.strip()
    asked = select(User).where(
        or_(
            entered.begins(User.username, part, within=True),
            entered.begins(User.name, part, within=True),
        )
    )
    total = db.scalar(select(func.count()).select_from(asked.subquery())) or 0
    pages = max(1, -(-total // PAGE))
    page = min(max(1, page), pages)
    found = db.scalars(
        asked.order_by(User.active.desc(), User.name, User.id).limit(PAGE).offset((page - 1) * PAGE)
    )
    return UserPage(tuple(_view(user) for user in found), total, page, pages)


def find(db: Session, actor: Actor, user_id: int) -> UserView:
    """Return an account.

    Raises:
        NotFound: there is none.
    """
    actor.must(Action.MANAGE_USERS)
    return _view(get(db, user_id))


def _view(user: User) -> UserView:
    placed = sorted(user.sites, key=lambda site: site.name)
    return UserView(
        id=user.id,
        username=user.username,
        name=user.name,
        role=user.role,
        sites=tuple(site.id for site in placed),
        site_names=tuple(site.name for site in placed),
        active=user.active,
        waits=user.password_hash is None,
        locked=lockout.is_locked(user),
        second_factor=user.totp_secret is not None,
        seen_at=user.seen_at,
    )
