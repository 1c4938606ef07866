"""The demonstration's laboratories and accounts."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts.passwords import hash_password
from cytolens.clinic.accounts.sessions import actor_of
from cytolens.clinic.actor import Actor, system
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Role
from cytolens.clinic.tables import Site, User

PASSWORD = "clinic-demo"  # public; the demonstration is served on the loopback address alone
NORTH, SOUTH = "NORTH", "SOUTH"
_SITES = {NORTH: "Laboratory North", SOUTH: "Laboratory South"}


@dataclass(frozen=True)
class Account:
    """An account of the demonstration."""

    username: str
    name: str
    role: Role
    sites: tuple[str, ...]
    shows: str


ACCOUNTS = (
    Account(
        "admin",
        "Alex Admin",
        Role.ADMINISTRATOR,
        (NORTH, SOUTH),
        "accounts, bundles, retention, audit log",
    ),
    Account(
        "doctor",
        "Dr. Inés Ferrer",
        Role.DOCTOR,
        (NORTH,),
        "worklist, cases, readings, signed reports (north)",
    ),
    Account(
        "doctor2",
        "Dr. Tom Berg",
        Role.DOCTOR,
        (NORTH, SOUTH),
        "the same (north and south), and quality readings",
    ),
    Account(
        "doctor3",
        "Dr. Mia Sand",
        Role.DOCTOR,
        (SOUTH,),
        "the same (south)",
    ),
    Account(
        "director",
        "Dr. Ruth Lang",
        Role.DIRECTOR,
        (NORTH, SOUTH),
        "figures, agreement, drift, quality control",
    ),
)


@dataclass(frozen=True)
class Cast:
    """Who acts, by username, and the ids of the sites, by code."""

    actors: dict[str, Actor]
    sites: dict[str, int]


def make_accounts(db: Session) -> None:
    """Add the sites and accounts to a database that has none."""
    sites = {
        code: Site(code=code, name=name, created_at=clock.now()) for code, name in _SITES.items()
    }
    db.add_all(sites.values())
    for account in ACCOUNTS:
        user = User(
            username=account.username,
            name=account.name,
            role=str(account.role),
            password_hash=hash_password(PASSWORD),
            sites=[sites[code] for code in account.sites],
            created_at=clock.now(),
        )
        db.add(user)
        db.flush()
        trail.record(db, system("demonstration"), "user.created", "user", user.id, role=user.role)


def cast_of(clinic: Installation) -> Cast:
    """Return who acts in a demonstration that has its accounts."""
    wanted = [account.username for account in ACCOUNTS]
    with clinic.reading() as db:
        users = db.scalars(select(User).where(User.username.in_(wanted))).all()
        sites = db.scalars(select(Site)).all()
        return Cast(
            {user.username: actor_of(user, "127.0.0.1") for user in users},
            {site.code: site.id for site in sites},
        )


def lines() -> list[str]:
    """Return who can sign in, as lines of text."""
    width = max(len(account.username) for account in ACCOUNTS)
    return [f"  {account.username:<{width}}  {PASSWORD}  {account.shows}" for account in ACCOUNTS]
