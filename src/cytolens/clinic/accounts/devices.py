"""Browsers that signed in to an account before: their wrong tries are counted apart.

Whoever knows a user name can try passwords until the account is locked; the lock holds in browsers
that are new to it, and its own people go on in theirs (OWASP, "Slow Down Online Guessing Attacks
with Device Cookies"). The cookie is no key: it opens nothing without the password.

Its content is encrypted and signed with a key of the installation (Fernet): for each of the
accounts that a shared computer signed in to last, the account's id, its `device_key` and a random
number of this browser. A new `device_key` makes all browsers of an account new ones.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.installation import Installation
from cytolens.clinic.secret import Secret
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Device, User
from cytolens.clinic.tables.people import new_device_key

COOKIE = "cytolens_device"
SECONDS = 180 * 86_400  # since the last sign-in of anybody in this browser
_MOST = 16  # accounts of one browser; the one used longest ago is forgotten

Known = tuple[int, str, str]  # account, its key, number of the browser


def cookie_name(settings: Settings) -> str:
    """Return the cookie's name; over https browsers bind `__Host-` to this host and to https."""
    return f"__Host-{COOKIE}" if settings.https else COOKIE


def number(secret: Secret, cookie: str, user: User) -> str:
    """Return the number under which a browser is known to an account; "": it is new to it."""
    wanted = (user.id, user.device_key)
    return next((own for *of, own in _known(secret, cookie) if tuple(of) == wanted), "")


def number_of(clinic: Installation, cookie: str, username: str) -> str:
    """Return the same by the account's name; "" also where there is no such account."""
    if not cookie:
        return ""
    with clinic.reading() as db:
        user = db.scalar(select(User).where(User.username == username))
        return number(clinic.secret, cookie, user) if user is not None else ""


def remember(secret: Secret, cookie: str, user: User) -> str:
    """Return the cookie of a browser in which an account has signed in, this one first in it."""
    own = number(secret, cookie, user) or secrets.token_urlsafe(12)
    others = [known for known in _known(secret, cookie) if known[0] != user.id]
    content = json.dumps([(user.id, user.device_key, own), *others[: _MOST - 1]])
    return _fernet(secret).encrypt_at_time(content.encode(), _seconds()).decode()


def forget_all(db: Session, user: User) -> None:
    """Make every browser a new one to an account, and drop what was counted for them."""
    user.device_key = new_device_key()
    db.execute(delete(Device).where(Device.user_id == user.id))


def _known(secret: Secret, cookie: str) -> Iterator[Known]:
    """Yield what a cookie holds; nothing where it is forged, too old or none."""
    try:
        content = _fernet(secret).decrypt_at_time(cookie.encode(), SECONDS, _seconds())
    except InvalidToken:
        return
    for user_id, key, own in json.loads(content):
        yield int(user_id), str(key), str(own)


def _fernet(secret: Secret) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(secret.key("device cookie")))


def _seconds() -> int:
    return int(clock.now().timestamp())
