"""Accounts as the administrator manages them: invited, changed, disabled, reset."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import access, invitations, lockout, second_factor, tokens
from cytolens.clinic.accounts.names import clean_language, clean_name, clean_username
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.rights import Action, Role
from cytolens.clinic.tables import Site, User


def invite(
    db: Session,
    actor: Actor,
    username: str,
    name: str,
    role: str,
    sites: Collection[int],
    language: str = "en",
) -> tuple[int, str]:
    """Make an account, and return its id and the token of its link, which is shown this once.

    Raises:
        Refused: a name, role, site or language that cannot be.
        Conflict: the user name is taken.
    """
    actor.must(Action.MANAGE_USERS)
    plain = clean_username(username)
    if db.scalar(select(User.id).where(User.username == plain)) is not None:
        raise Conflict(f"The user name {plain} is taken.", fix="take another one.")
    user = User(
        username=plain,
        name=clean_name(name),
        role=str(_role(role)),
        sites=_sites(db, role, sites),
        language=clean_language(language),
        created_at=clock.now(),
    )
    db.add(user)
    db.flush()
    placed = sorted(site.id for site in user.sites)
    trail.record(
        db, actor, "user.made", "user", user.id, made=plain, made_role=user.role, sites=placed
    )
    return user.id, invitations.invite(db, actor, user)


def rename(db: Session, actor: Actor, user_id: int, name: str) -> None:
    """Change the name that stands on reports from now on.

    Raises:
        NotFound, Refused: there is no such account; a name that cannot be.
    """
    actor.must(Action.MANAGE_USERS)
    user, plain = get(db, user_id), clean_name(name)
    if user.name != plain:
        before, user.name = user.name, plain
        trail.record(db, actor, "user.renamed", "user", user_id, before=before, after=plain)


def assign(db: Session, actor: Actor, user_id: int, role: str, sites: Collection[int]) -> None:
    """Change role and (open) sites; both hold from the account's next request on.

    Raises:
        Conflict: it is one's own role, or the last administrator's.
    """
    actor.must(Action.MANAGE_USERS)
    trail.take_turn(db)
    user, wanted = get(db, user_id), _role(role)
    if str(wanted) != user.role:
        _must_not_be_self(actor, user_id, "role")
        if user.role == Role.ADMINISTRATOR:
            _must_not_be_last(db, user)
    placed = _sites(db, role, sites) + [site for site in user.sites if not site.active]
    before = (user.role, sorted(site.id for site in user.sites))
    after = (str(wanted), sorted(site.id for site in placed))
    if before == after:
        return
    user.role, user.sites = str(wanted), placed
    if before[0] != after[0]:
        tokens.revoke_all(db, user_id)
    trail.record(
        db, actor, "user.assigned", "user", user_id, before=list(before), after=list(after)
    )


def disable(db: Session, actor: Actor, user_id: int) -> None:
    """Close an account: its sessions, tokens and links end at once.

    Raises:
        Conflict: it is one's own, or the last administrator's.
    """
    actor.must(Action.MANAGE_USERS)
    trail.take_turn(db)
    user = get(db, user_id)
    if not user.active:
        return
    _must_not_be_self(actor, user_id, "account")
    if user.role == Role.ADMINISTRATOR:
        _must_not_be_last(db, user)
    user.active = False
    access.end(db, user)
    trail.record(db, actor, "user.disabled", "user", user_id)


def enable(db: Session, actor: Actor, user_id: int) -> None:
    """Open a closed account again; its password works as before.

    Raises:
        NotFound: there is no such account.
    """
    actor.must(Action.MANAGE_USERS)
    trail.take_turn(db)
    user = get(db, user_id)
    if not user.active:
        user.active = True
        lockout.open_again(db, user)
        trail.record(db, actor, "user.enabled", "user", user_id)


def reset(db: Session, actor: Actor, user_id: int) -> str:
    """Return the token of a link for a new password; the old one, sessions and tokens end.

    Raises:
        Conflict: the account is one's own, or is disabled.
    """
    actor.must(Action.MANAGE_USERS)
    trail.take_turn(db)
    user = get(db, user_id)
    _must_not_be_self(actor, user_id, "password")
    if not user.active:
        raise Conflict("The account is disabled.", fix="enable it first.")
    user.password_hash = None
    lockout.open_again(db, user)
    access.end(db, user)
    trail.record(db, actor, "user.reset", "user", user_id)
    return invitations.invite(db, actor, user)


def remove_second_factor(db: Session, actor: Actor, user_id: int) -> None:
    """Turn off the second factor of somebody who lost the telephone and the recovery codes.

    Raises:
        Conflict: it is one's own, which takes the password.
    """
    actor.must(Action.MANAGE_USERS)
    user = get(db, user_id)
    _must_not_be_self(actor, user_id, "second factor")
    if user.totp_secret is not None:
        second_factor.forget(db, actor, user)


def get(db: Session, user_id: int) -> User:
    """Return an account's row.

    Raises:
        NotFound: there is none.
    """
    user = db.get(User, user_id)
    if user is None:
        raise NotFound("There is no such account.")
    return user


def _must_not_be_self(actor: Actor, user_id: int, what: str) -> None:
    if actor.user == user_id:
        raise Conflict(
            f"Nobody changes the {what} of the own account here.",
            fix="use the page of your account, or ask another administrator.",
        )


def _must_not_be_last(db: Session, user: User) -> None:
    """Raise unless another administrator can sign in; their rows are locked until the end."""
    others = db.scalars(
        select(User)
        .where(User.role == str(Role.ADMINISTRATOR), User.active)
        .order_by(User.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    if not any(other.id != user.id and other.password_hash is not None for other in others):
        raise Conflict(
            "This is the last administrator.", fix="make another account administrator first."
        )


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise Refused("There is no such role.", expected=", ".join(Role)) from error


def _sites(db: Session, role: str, wanted: Collection[int]) -> list[Site]:
    asked = select(Site).where(Site.id.in_(wanted), Site.active).order_by(Site.id)
    found = list(db.scalars(asked))
    if len(found) != len(set(wanted)):
        raise Refused("There is no such site, or it is closed.")
    if not found and role != Role.ADMINISTRATOR:
        raise Refused(
            f"A {role} without a site sees nothing.",
            expected="one site or more",
            fix="choose where the account works.",
        )
    return found
