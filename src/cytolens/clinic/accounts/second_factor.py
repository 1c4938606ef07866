"""The second factor: codes of an authenticator (TOTP, RFC 6238), or a recovery code in its place.

The shared secret is kept encrypted with a key of the installation (Fernet: AES-128-CBC and
HMAC-SHA256), bound to its account; a code works once.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import dataclass

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import lockout, passwords
from cytolens.clinic.accounts.sessions import token_hash
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotAllowed, NotSignedIn, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.secret import Secret
from cytolens.clinic.tables import RecoveryCode, User

_STEP = 30  # seconds a code is shown
_CLOCKS = (-1, 0, 1)  # steps that a telephone's clock may be off
_OFFERED = 900  # seconds until an offered secret must be confirmed
_ISSUER = "cytolens"
RECOVERY = 10  # codes
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that look alike
_LENGTH = 16


@dataclass(frozen=True)
class Offer:
    """A secret for an authenticator, not in use before a code of it was shown.

    Attributes:
        picture: QR code as `data:` address of an SVG.
        words: the secret in groups of four, for typing.
        sealed: what the form sends back: the secret, encrypted for this account, for 15 minutes.
    """

    picture: str
    words: str
    sealed: str


def is_on(db: Session, actor: Actor) -> bool:
    """Tell whether an account has a second factor."""
    asked = select(User.totp_secret).where(User.id == actor.user)
    return db.scalar(asked) is not None


def offer(clinic: Installation, actor: Actor) -> Offer:
    """Make a secret for an account's authenticator."""
    assert actor.user is not None
    return _offered(clinic, actor, pyotp.random_base32())


def offered_again(clinic: Installation, actor: Actor, sealed: str) -> Offer:
    """Return an offer once more, after a wrong code.

    Raises:
        Refused: it is past its end, or not of this account.
    """
    assert actor.user is not None
    return _offered(clinic, actor, _unseal(clinic.secret, actor.user, sealed, _OFFERED))


def set_up(
    clinic: Installation, actor: Actor, sealed: str, code: str, password: str, present: str = ""
) -> list[str]:
    """Take an offered secret into use, and return the recovery codes, which nobody shows again.

    Args:
        present: a code of the second factor that is replaced, where there is one.

    Raises:
        NotAllowed: the password or the code of the present second factor is wrong.
        Refused: the offer is past its end, or the code is not of its secret.
    """
    assert actor.user is not None
    secret = _unseal(clinic.secret, actor.user, sealed, _OFFERED)
    step = _step_of(secret, code, after=0)
    if step is None:
        raise Refused(
            "The code is not the authenticator's.",
            expected="the six digits that it shows now",
            fix="check that the telephone's clock is right.",
        )
    confirm(clinic, actor, password, present)
    with clinic.writing() as db:
        user = db.get_one(User, actor.user)
        user.totp_secret = _seal(clinic.secret, user.id, secret)
        user.totp_step = step
        codes = _recovery_codes(db, user.id)
        trail.record(db, actor, "second_factor.set", "user", user.id)
    return codes


def turn_off(clinic: Installation, actor: Actor, password: str, code: str) -> None:
    """Do without the second factor again.

    Raises:
        NotAllowed: the password or the code is wrong.
    """
    confirm(clinic, actor, password, code)
    with clinic.writing() as db:
        forget(db, actor, db.get_one(User, actor.user))


def forget(db: Session, actor: Actor, user: User) -> None:
    """Remove an account's second factor."""
    user.totp_secret = None
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    trail.record(db, actor, "second_factor.removed", "user", user.id)


def take(db: Session, user: User, code: str, secret: Secret) -> bool:
    """Tell whether a code is right and was not used before; it is used now.

    Args:
        user: its row, locked by the present transaction.
        code: of the authenticator, or a recovery code; spaces and hyphens do not matter.
    """
    if user.totp_secret is None:
        return False
    plain = code.replace(" ", "").replace("-", "").upper()
    if len(plain) == _LENGTH:
        return _take_recovery(db, user, plain)
    step = _step_of(_unseal(secret, user.id, user.totp_secret), plain, after=user.totp_step)
    if step is None:
        return False
    user.totp_step = step
    return True


def confirm(clinic: Installation, actor: Actor, password: str, code: str | None = None) -> None:
    """Ask an account that is signed in for its password again, and for a code where it has some.

    The password is judged outside of any transaction, for argon2 takes its time; then one judges
    the rest, and keeps what failed.

    Args:
        code: of the authenticator, or a recovery code; an account without a second factor is asked
            for none. None: the password is enough, which then forgives no failures of an account
            that has a second factor.

    Raises:
        NotAllowed: the password or code is wrong; nothing may be done.
        NotSignedIn: the session or token by which it was asked has ended, by this try or before.
    """
    with clinic.reading() as db:
        user = db.get(User, actor.user) if actor.user is not None else None
        stored = user.password_hash if user else None
    right = passwords.matches(password, stored)
    with clinic.writing() as db:
        refused = _refused(clinic, db, actor, (stored, right), code)
    if refused is not None:
        raise refused


def _refused(
    clinic: Installation,
    db: Session,
    actor: Actor,
    judged: tuple[str | None, bool],
    code: str | None,
) -> Refused | None:
    """Return why nothing may be done, and count what was wrong; `judged`: hash, and if it fits."""
    trail.take_turn(db)
    user = db.get(User, actor.user, with_for_update=True) if actor.user is not None else None
    if user is None or not user.active:
        return NotAllowed("No account acts here.", fix="sign in.")
    try:
        holder = lockout.holder(db, actor)
    except NotSignedIn as gone:
        return gone
    rule = lockout.rule(clinic.settings, actor)
    stored, right = judged
    if not right or user.password_hash != stored:
        ended = lockout.count_confirmation(db, holder, clinic.settings, actor, "password")
        return ended or NotAllowed("The password is wrong.", fix=rule)
    asked = user.totp_secret is not None
    if asked and code is not None and not take(db, user, code, clinic.secret):
        ended = lockout.count_confirmation(db, holder, clinic.settings, actor, "code")
        return ended or NotAllowed("The code is wrong, or was used.", fix=rule)
    if holder is not None and (code is not None or not asked):
        holder.failures = 0
    return None


def recovery_left(db: Session, actor: Actor) -> int:
    """Return how many recovery codes were not used."""
    asked = select(func.count()).where(
        RecoveryCode.user_id == actor.user, RecoveryCode.used_at.is_(None)
    )
    return db.scalar(asked) or 0


def _step_of(secret: str, code: str, after: int) -> int | None:
    """Return the number of the half minute whose code this is, later than `after`, or None."""
    totp, present = pyotp.TOTP(secret, interval=_STEP), int(clock.now().timestamp()) // _STEP
    found = None
    for off in _CLOCKS:
        right = hmac.compare_digest(totp.at((present + off) * _STEP).encode(), code.encode())
        if right and present + off > after:
            found = present + off
    return found


def _offered(clinic: Installation, actor: Actor, secret: str) -> Offer:
    assert actor.user is not None
    address = pyotp.TOTP(secret, interval=_STEP).provisioning_uri(
        name=actor.username, issuer_name=_ISSUER
    )
    return Offer(
        picture=segno.make(address, error="m").svg_data_uri(scale=4, border=4, light="#fff"),
        words=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        sealed=_seal(clinic.secret, actor.user, secret),
    )


def _recovery_codes(db: Session, user_id: int) -> list[str]:
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(RECOVERY)]
    db.add_all(RecoveryCode(user_id=user_id, code_hash=token_hash(code)) for code in codes)
    return ["-".join(code[at : at + 4] for at in range(0, _LENGTH, 4)) for code in codes]


def _take_recovery(db: Session, user: User, code: str) -> bool:
    found = db.scalar(
        select(RecoveryCode).where(
            RecoveryCode.user_id == user.id,
            RecoveryCode.code_hash == token_hash(code),
            RecoveryCode.used_at.is_(None),
        )
    )
    if found is None:
        return False
    found.used_at = clock.now()
    return True


def _fernet(secret: Secret) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(secret.key("second factor")))


def _seal(secret: Secret, user_id: int, value: str) -> str:
    return _fernet(secret).encrypt(json.dumps([user_id, value]).encode()).decode()


def _unseal(secret: Secret, user_id: int, sealed: str, seconds: int | None = None) -> str:
    try:
        owner, value = json.loads(_fernet(secret).decrypt(sealed.encode(), ttl=seconds))
    except InvalidToken as error:
        raise Refused("This form is too old.", fix="load the page again, then repeat.") from error
    if owner != user_id:
        raise Refused("This form was made for another account.", fix="load the page again.")
    return str(value)
