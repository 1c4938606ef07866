"""The first start: where nobody has an account, a link makes the first administrator."""

from __future__ import annotations

from sqlalchemy import select

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts.invitations import UNNAMED, invite
from cytolens.clinic.actor import system
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Role
from cytolens.clinic.tables import User


def first_link(clinic: Installation) -> str | None:
    """Return the link that makes the first administrator, or None where there are accounts.

    It works once and for 72 hours. Started again before it was used, the clinic makes a new one,
    and the old one ends.
    """
    with clinic.writing() as db:
        trail.take_turn(db)
        users = db.scalars(select(User).limit(2)).all()
        if not users:
            user = User(
                username=UNNAMED, name="", role=str(Role.ADMINISTRATOR), created_at=clock.now()
            )
            db.add(user)
            db.flush()
        elif len(users) == 1 and users[0].username == UNNAMED:
            user = users[0]
        else:
            return None
        token = invite(db, system(), user)
    return f"{clinic.settings.url}/welcome/{token}"
