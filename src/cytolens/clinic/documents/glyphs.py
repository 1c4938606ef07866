"""Which characters the documents' fonts can show; others stand as [U+4E2D], never dropped.

Texts are set in Typst's own Libertinus Serif. What it lacks is taken from DejaVu Sans, whose
coverage is known here (it holds Latin, Greek, Cyrillic, Hebrew, Arabic and many signs).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

# What turns the direction of a text round can make it read as another one.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NO_TEXT = frozenset("\ufeff")  # of PDF/A; the byte order mark
_LONG = re.compile(r"\S{31,}")  # longer than words are: may be broken anywhere
_PIECE = re.compile(r".{10}")
_BREAK = "\N{ZERO WIDTH SPACE}"


def font_folder() -> Path:
    """Return where DejaVu Sans lies; it comes with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def covered() -> frozenset[int]:
    """Return the code points that DejaVu Sans has a glyph for."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_folder() / "DejaVuSans.ttf")).get_charmap())


def has_glyph(character: str) -> bool:
    """Tell whether a character can be shown as it is; PDF/A allows no private characters."""
    if character in _TURNING | _NO_TEXT or unicodedata.category(character) in (
        "Cc",
        "Cs",
        "Co",
        "Cn",
    ):
        return False
    return ord(character) in covered()


def shown(text: str) -> str:
    """Return text that the font can show, with places where long words may be broken.

    A line's end stays; a tab becomes a space; what has no glyph becomes its code point.
    """
    said = "".join(
        one if one == "\n" or has_glyph(one) else f"[U+{ord(one):04X}]"
        for one in unicodedata.normalize("NFC", text).replace("\t", " ")
    )
    return _LONG.sub(lambda word: _PIECE.sub(rf"\g<0>{_BREAK}", word[0]), said)


def lacks_glyphs(text: str) -> bool:
    """Tell whether `shown` writes some character as its code point."""
    return any(c not in "\n\t" and not has_glyph(c) for c in unicodedata.normalize("NFC", text))
