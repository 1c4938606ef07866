"""Translations: one gettext catalogue a language, read as it is written."""

from __future__ import annotations

import io
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol

from cytolens.clinic.documents import translation
from cytolens.clinic.sentences import Sentences


@cache
def translator(language: str) -> NullTranslations:
    """Return the translations of a language; English is what the templates say."""
    catalogue = _catalogue(language)
    if catalogue is None:
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


@cache
def sentences(locale: str) -> Sentences:
    """Return what services refuse with and findings give as reasons, in "es" or as in "es_PE".

    Unlike gettext's, what they return is text for escaping, never markup, and may hold `%`.
    """
    language = locale.partition("_")[0]
    catalogue = _catalogue(language)
    if catalogue is None:
        return Sentences({})
    texts = {
        message.id: str(message.string)
        for message in catalogue
        if isinstance(message.id, str) and message.id and message.string
    }
    decimal = get_decimal_symbol(locale)
    return Sentences({**translation.catalogue(language), **texts}, decimal)


@cache
def _catalogue(language: str) -> Catalog | None:
    source = files("cytolens.clinic.web") / "words" / f"{language}.po"
    if not source.is_file():
        return None
    return read_po(io.BytesIO(source.read_bytes()), locale=language)
