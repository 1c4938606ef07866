"""What a user name, a name and a language may be."""

from __future__ import annotations

import re
import unicodedata

from cytolens.clinic.errors import Refused

LANGUAGES = {"en": "English", "es": "Español"}
_USERNAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{2,119}")
_TAKEN = frozenset({"system", "nobody", "local"})  # of the audit log
_LONGEST = 200


def is_username(text: str) -> bool:
    """Tell whether an account could be called so; the text as `clean_username` returns it."""
    return _USERNAME.fullmatch(text) is not None


def clean_username(text: str) -> str:
    """Return a user name in lower case.

    Raises:
        Refused: other signs, too short or long, or a word of the audit log.
    """
    plain = text.strip().lower()
    if not is_username(plain):
        raise Refused(
            "The user name cannot be used.",
            expected="3 to 120 letters a–z, digits or . _ @ + -, a letter or digit first",
        )
    if plain in _TAKEN:
        raise Refused(f"The user name {plain} means something in the audit log; take another.")
    return plain


def clean_name(text: str) -> str:
    """Return a name without needless blanks.

    Raises:
        Refused: empty, too long, or with signs that are not shown.
    """
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    if not plain:
        raise Refused("The name is empty.")
    if len(plain) > _LONGEST:
        raise Refused(f"The name has {len(plain)} characters.", expected=f"at most {_LONGEST}")
    if any(unicodedata.category(sign) in ("Cc", "Cf", "Cs") for sign in plain):
        raise Refused("The name has signs that are not shown.", fix="type it anew.")
    return plain


def clean_language(text: str) -> str:
    """Return a language's code.

    Raises:
        Refused: it is not offered.
    """
    if text not in LANGUAGES:
        raise Refused("This language is not offered.", expected=" or ".join(LANGUAGES))
    return text
