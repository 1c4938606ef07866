"""Sites (laboratories): opened, renamed, closed; what lies at one is seen by its accounts alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts.names import clean_name
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Site, User, user_site

_CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{0,15}")


@dataclass(frozen=True)
class SiteView:
    """A site; `users`: how many active accounts belong to it."""

    id: int
    code: str
    name: str
    active: bool
    created_at: datetime
    users: int


def list_sites(db: Session, actor: Actor) -> list[SiteView]:
    """Return all sites, those that are open first, by name."""
    actor.must(Action.MANAGE_SITES)
    return _views(db)


def choices(db: Session, actor: Actor) -> list[tuple[int, str]]:
    """Return the open sites, as id and name, for whoever places accounts at them."""
    actor.must(Action.MANAGE_USERS)
    return [(view.id, view.name) for view in _views(db) if view.active]


def find(db: Session, actor: Actor, site_id: int) -> SiteView:
    """Return a site.

    Raises:
        NotFound: there is none.
    """
    actor.must(Action.MANAGE_SITES)
    _get(db, site_id)
    return next(view for view in _views(db) if view.id == site_id)


def open_site(db: Session, actor: Actor, code: str, name: str) -> int:
    """Open a site, and return its id.

    Args:
        code: stands in accession numbers, never changes.

    Raises:
        Refused: a code or name that cannot be.
        Conflict: the code is another site's.
    """
    actor.must(Action.MANAGE_SITES)
    plain = code.strip().upper()
    if not _CODE.fullmatch(plain):
        raise Refused("The code cannot be used.", expected="1 to 16 letters A–Z, digits or -")
    named = clean_name(name)
    if db.scalar(select(Site.id).where(Site.code == plain)) is not None:
        raise Conflict(f"The code {plain} is another site's.", fix="take another one.")
    site = Site(code=plain, name=named, created_at=clock.now())
    db.add(site)
    db.flush()
    trail.record(db, actor, "site.opened", "site", site.id, site=site.id, code=plain, name=named)
    return site.id


def rename(db: Session, actor: Actor, site_id: int, name: str) -> None:
    """Change a site's name.

    Raises:
        NotFound, Refused: there is none; a name that cannot be.
    """
    actor.must(Action.MANAGE_SITES)
    site, named = _get(db, site_id), clean_name(name)
    if site.name != named:
        before, site.name = site.name, named
        trail.record(
            db, actor, "site.renamed", "site", site_id, site=site_id, before=before, after=named
        )


def close(db: Session, actor: Actor, site_id: int) -> None:
    """Close a site: nobody sees what lies there until it is opened again.

    Raises:
        Conflict: cases there wait for a signature.
    """
    actor.must(Action.MANAGE_SITES)
    site = _get(db, site_id)
    if not site.active:
        return
    waiting = db.scalar(
        select(func.count()).where(
            Case.site_id == site_id, Case.status.in_(("open", "preliminary"))
        )
    )
    if waiting:
        raise Conflict(
            f"{waiting} cases at this site wait for a signature.",
            fix="have them signed, then close the site.",
        )
    site.active = False
    trail.record(db, actor, "site.closed", "site", site_id, site=site_id)


def reopen(db: Session, actor: Actor, site_id: int) -> None:
    """Open a closed site again.

    Raises:
        NotFound: there is none.
    """
    actor.must(Action.MANAGE_SITES)
    site = _get(db, site_id)
    if not site.active:
        site.active = True
        trail.record(db, actor, "site.reopened", "site", site_id, site=site_id)


def _get(db: Session, site_id: int) -> Site:
    site = db.get(Site, site_id)
    if site is None:
        raise NotFound("There is no such site.")
    return site


def _views(db: Session) -> list[SiteView]:
    belonging = (
        select(user_site.c.site_id, func.count().label("users"))
        .join(User, User.id == user_site.c.user_id)
        .where(User.active)
        .group_by(user_site.c.site_id)
    )
    counted = {row.site_id: row.users for row in db.execute(belonging)}
    found = db.scalars(select(Site).order_by(Site.active.desc(), Site.name, Site.id))
    return [
        SiteView(s.id, s.code, s.name, s.active, s.created_at, counted.get(s.id, 0)) for s in found
    ]
