"""The installation's secret, and the keys that are derived from it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cytolens.core.errors import InputError

VARIABLE = "CYTOLENS_SECRET"
_LEAST = 32  # characters
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "password", "example", "insecure")


class Secret:
    """A secret of the installation; `key` gives one for each purpose."""

    def __init__(self, value: str) -> None:
        self._value = value.encode("utf-8")

    def __repr__(self) -> str:
        return "Secret(…)"

    def key(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose (HMAC-SHA256 of its name)."""
        return hmac.new(self._value, purpose.encode("utf-8"), hashlib.sha256).digest()


def open_secret(data: Path) -> Secret:
    """Return the secret: of the variable CYTOLENS_SECRET, else of `data/secret.key`.

    The file is made at the first start, readable by its owner alone.

    Raises:
        InputError: a placeholder, too short, or a file that others may read.
    """
    if given := os.environ.get(VARIABLE):
        return Secret(_checked(given, f"the variable {VARIABLE}"))
    path = data / "secret.key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as target:
            target.write(secrets.token_urlsafe(48) + "\n")
    if path.stat().st_mode & 0o077:
        raise InputError(
            f"{path} can be read by other users of this machine.", fix=f"chmod 600 {path}"
        )
    return Secret(_checked(path.read_text(encoding="utf-8").strip(), str(path)))


def _checked(value: str, where: str) -> str:
    plain = value.lower()
    if any(word in plain for word in _PLACEHOLDERS) or len(set(value)) < 8:
        raise InputError(
            f"The secret in {where} is a placeholder.",
            fix='make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
        )
    if len(value) < _LEAST:
        raise InputError(
            f"The secret in {where} has {len(value)} characters.",
            expected=f"at least {_LEAST}",
            fix='make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
        )
    return value
