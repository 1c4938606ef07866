"""Translations: one gettext catalogue a language, read as it is written."""

from __future__ import annotations

import io
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po


@cache
def translator(language: str) -> NullTranslations:
    """Return the translations of a language; English is what the templates say."""
    source = files("cytolens.clinic.web") / "words" / f"{language}.po"
    if not source.is_file():
        return NullTranslations()
    catalogue = read_po(io.BytesIO(source.read_bytes()), locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
