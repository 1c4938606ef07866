"""Passwords: hashed by argon2id, judged by how many guesses they take, never by composition.

Length and guessability alone are asked for, as NIST SP 800-63B (section 5.1.1.2) wants it: no
rules about digits or signs, no change by the calendar, Unicode taken as NFKC.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from threading import BoundedSemaphore, Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from cytolens.clinic.errors import Refused

LEAST, MOST = 12, 256  # characters
_SCORE = 3  # of zxcvbn's 0 to 4: from 10^8 guesses on
_JUDGED = 72  # characters that zxcvbn takes
_NAME_PART = 4  # shorter parts of a name may occur by chance
_AT_ONCE = BoundedSemaphore(4)  # each hash takes 46 MiB of memory
_JUDGING = Lock()  # zxcvbn keeps its user's words in a global


@cache
def hasher() -> PasswordHasher:
    """Return argon2id with 46 MiB and two passes (OWASP's least is one pass)."""
    return PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1)


def hash_password(password: str) -> str:
    """Return what the database keeps: argon2id with its salt and parameters."""
    with _AT_ONCE:
        return hasher().hash(_plain(password))


def matches(password: str, stored: str | None) -> bool:
    """Tell whether a password is the stored one; without one it takes as long to say no."""
    known = hasher()
    with _AT_ONCE:
        try:
            right = known.verify(stored or _nobody(known), _plain(password))
        except (VerificationError, InvalidHashError):
            return False
    return right and bool(stored) and len(password) <= MOST


def outdated(stored: str) -> bool:
    """Tell whether a hash was made with other parameters than today's."""
    return hasher().check_needs_rehash(stored)


def check_strength(password: str, username: str, name: str) -> None:
    """Raise unless a password is long and hard to guess.

    Raises:
        Refused: too short or long, contains the user name or name, or is guessed quickly; `rows`
            says what would help.
    """
    plain = unicodedata.normalize("NFKC", password)
    if len(plain) < LEAST:
        raise Refused(
            f"The password has {len(plain)} characters.", expected=f"at least {LEAST} characters"
        )
    if len(password) > MOST:
        raise Refused(
            f"The password is too long: {len(password)} characters.", expected=f"≤ {MOST}"
        )
    own = [username, *(part for part in name.split() if len(part) >= _NAME_PART)]
    if any(word and word.lower() in plain.lower() for word in own):
        raise Refused(
            "The password contains the user name or the name.", fix="choose words of no person."
        )
    with _JUDGING:
        judged = zxcvbn(plain[:_JUDGED], user_inputs=[*own, *name.split(), "cytolens"])
    if judged["score"] < _SCORE:
        feedback = judged["feedback"]
        raise Refused(
            "The password is guessed quickly.",
            rows=[text for text in (feedback["warning"], *feedback["suggestions"]) if text],
            fix="take four or more words that have nothing to do with each other.",
        )


def _plain(password: str) -> bytes:
    normal = unicodedata.normalize("NFKC", password[: MOST + 1])
    return normal.encode("utf-8", "surrogatepass")


@cache
def _nobody(known: PasswordHasher) -> str:
    """Return a hash of nobody's password, so that an unknown user takes as long as a known one."""
    return known.hash("of nobody")
