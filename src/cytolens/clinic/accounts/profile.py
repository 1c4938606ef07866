"""What an account sets for itself."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import trail
from cytolens.clinic.accounts import devices, passwords, second_factor, sessions, tokens
from cytolens.clinic.accounts.names import clean_language
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Site, User


def set_language(db: Session, actor: Actor, language: str) -> None:
    """Choose the language of one's pages.

    Raises:
        Refused: it is not offered.
    """
    actor.must(Action.OWN_ACCOUNT)
    user, wanted = db.get_one(User, actor.user), clean_language(language)
    if user.language != wanted:
        user.language = wanted
        trail.record(db, actor, "user.language_changed", "user", user.id, language=wanted)


def change_password(
    clinic: Installation,
    actor: Actor,
    session_id: int | None,
    old: str,
    new: str,
    *,
    revoke_tokens: bool = True,
    device: str = "",
) -> str:
    """Change one's own password; all other sessions end, and all other browsers are new ones.

    Args:
        session_id: the session that goes on.
        revoke_tokens: the account's machines are shut out too.
        device: what this browser is known by (`devices`).

    Returns:
        What it is known by from now on.

    Raises:
        NotAllowed: the old password is wrong.
        Refused: the new one is weak, or the old one again.
    """
    actor.must(Action.OWN_ACCOUNT)
    second_factor.confirm(clinic, actor, old)
    if new == old:
        raise Refused("The new password is the old one.", expected="another one")
    passwords.check_strength(new, actor.username, actor.name)
    made = passwords.hash_password(new)
    with clinic.writing() as db:
        trail.take_turn(db)
        user = db.get_one(User, actor.user)
        user.password_hash = made
        ended = sessions.end_all(db, user.id, but=session_id)
        revoked = tokens.revoke_all(db, user.id) if revoke_tokens else 0
        devices.forget_all(db, user)
        trail.record(
            db, actor, "user.password_changed", "user", user.id,
            sessions_ended=ended, tokens_revoked=revoked,
        )  # fmt: skip
        return devices.remember(clinic.secret, device, user)


def sites(db: Session, actor: Actor) -> list[Site]:
    """Return the open sites that this account belongs to, by name."""
    actor.must(Action.OWN_ACCOUNT)
    return list(
        db.scalars(select(Site).where(Site.id.in_(sorted(actor.sites))).order_by(Site.name))
    )


def end_other_sessions(db: Session, actor: Actor, session_id: int) -> int:
    """End all of one's sessions but this one, and return how many there were."""
    actor.must(Action.OWN_ACCOUNT)
    assert actor.user is not None
    ended = sessions.end_all(db, actor.user, but=session_id)
    trail.record(db, actor, "user.sessions_ended", "user", actor.user, sessions=ended)
    return ended
