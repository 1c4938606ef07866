"""Tokens of machines."""

from __future__ import annotations

from sqlalchemy import select

from cytolens.clinic.accounts.sessions import actor_of, token_hash
from cytolens.clinic.actor import Actor
from cytolens.clinic.clock import now
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Token


def actor_of_token(installation: Installation, token: str, address: str) -> Actor | None:
    """Return who a machine's token acts for, or None where it is unknown, revoked or past."""
    with installation.reading() as db:
        found = db.scalar(select(Token).where(Token.token_hash == token_hash(token)))
        if found is None or found.revoked_at or now() >= found.expires_at or not found.user.active:
            return None
        return actor_of(found.user, address)
