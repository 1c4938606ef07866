"""Tokens of machines: they act for their account, and may do less."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts.names import clean_name
from cytolens.clinic.accounts.sessions import actor_of, changed, token_hash
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Token

PREFIX = "cyt_"  # by which scanners of source code find a token that leaked
DAYS = 90
MOST_DAYS = 365
_MOST = 20  # of one account
_NAME = 100
_USED_EVERY = timedelta(minutes=1)  # the database is not written on every request


@dataclass(frozen=True)
class TokenView:
    """A token as its owner sees it; what it is was shown once."""

    id: int
    name: str
    actions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


def issue(
    db: Session, actor: Actor, name: str, actions: Sequence[str] = (), days: int = DAYS
) -> str:
    """Make a token for one's own account, and return it; it is shown this once.

    Args:
        actions: what it may do, of what the account may; none: all of the role.

    Raises:
        NotAllowed: an action that the account itself does not have.
        Refused: an unknown action, a name or number of days that cannot be, too many tokens.
    """
    actor.must(Action.OWN_ACCOUNT)
    if not 1 <= days <= MOST_DAYS:
        raise Refused(f"A token cannot live {days} days.", expected=f"1 to {MOST_DAYS}")
    plain = clean_name(name)
    if len(plain) > _NAME:
        raise Refused(f"The name has {len(plain)} characters.", expected=f"at most {_NAME}")
    if unknown := sorted(set(actions) - set(Action)):
        raise Refused("Some actions are unknown.", rows=unknown, expected=", ".join(Action))
    for action in actions:
        actor.must(Action(action))
    if actor.only is not None and not (actions and actor.only >= {Action(a) for a in actions}):
        raise Refused("A token cannot make one that may do more than itself.")
    if (db.scalar(select(func.count()).where(*_living(actor.user))) or 0) >= _MOST:
        raise Refused(f"The account has {_MOST} tokens.", fix="revoke one that is not used.")
    token = PREFIX + secrets.token_urlsafe(32)
    row = Token(
        user_id=actor.user,
        name=plain,
        token_hash=token_hash(token),
        actions=sorted(set(actions)),
        created_at=clock.now(),
        expires_at=clock.now() + timedelta(days=days),
    )
    db.add(row)
    db.flush()
    trail.record(db, actor, "token.issued", "token", row.id, actions=row.actions, days=days)
    return token


def list_tokens(db: Session, actor: Actor) -> list[TokenView]:
    """Return one's own tokens that work, the newest first."""
    found = db.scalars(select(Token).where(*_living(actor.user)).order_by(Token.id.desc()))
    return [
        TokenView(t.id, t.name, tuple(t.actions), t.created_at, t.expires_at, t.used_at)
        for t in found
    ]


def revoke(db: Session, actor: Actor, token_id: int) -> None:
    """End one of one's own tokens.

    Raises:
        NotFound: there is none, or it is another account's.
    """
    actor.must(Action.OWN_ACCOUNT)
    found = db.get(Token, token_id)
    if found is None or found.user_id != actor.user or found.revoked_at is not None:
        raise NotFound("There is no such token.")
    found.revoked_at = clock.now()
    trail.record(db, actor, "token.revoked", "token", token_id)


def revoke_all(db: Session, user_id: int) -> int:
    """End all tokens of an account, and return how many there were."""
    return changed(
        db,
        update(Token)
        .where(Token.user_id == user_id, Token.revoked_at.is_(None))
        .values(revoked_at=clock.now()),
    )


def actor_of_token(installation: Installation, token: str, address: str) -> Actor | None:
    """Return who a machine's token acts for, or None where it is unknown, revoked or past."""
    if not token.startswith(PREFIX):
        return None
    with installation.reading() as db:
        found = db.scalar(select(Token).where(Token.token_hash == token_hash(token)))
        if (
            found is None
            or found.revoked_at
            or clock.now() >= found.expires_at
            or not found.user.active
        ):
            return None
        actor = replace(actor_of(found.user, address), token=found.id)
        only = frozenset(Action(a) for a in found.actions if a in set(Action))
        limited = bool(found.actions)
        row, stale = found.id, not found.used_at or clock.now() - found.used_at >= _USED_EVERY
    if stale:
        with installation.writing() as db:
            db.execute(update(Token).where(Token.id == row).values(used_at=clock.now()))
    return replace(actor, only=only) if limited else actor


def _living(user_id: int | None) -> tuple[ColumnElement[bool], ...]:
    return (
        Token.user_id == user_id,
        Token.revoked_at.is_(None),
        Token.expires_at > clock.now(),
    )
