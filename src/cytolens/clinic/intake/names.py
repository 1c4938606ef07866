"""What a file is called when it is shown: its own words, made harmless."""

from __future__ import annotations

import unicodedata

LONGEST = 200
_NAMELESS = "image"


def shown_name(name: str) -> str:
    """Return the last part of a file's name, of at most 200 characters, without control characters.

    What turns the direction of text round or is no character at all (Unicode's categories C…) is
    left out too. A name may still tell whose image it is: it is shown, and never logged.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(c for c in last if not unicodedata.category(c).startswith("C"))
    plain = unicodedata.normalize("NFC", plain).strip()
    if len(plain) > LONGEST:
        stem, dot, suffix = plain.rpartition(".")
        if not dot or len(suffix) > 10:
            stem, suffix = plain, ""
        ending = dot + suffix if suffix else ""
        plain = stem[: LONGEST - len(ending)] + ending
    return plain or _NAMELESS
