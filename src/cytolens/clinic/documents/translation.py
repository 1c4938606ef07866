"""The documents' words in other languages, and dates and numbers as they are written there."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent, get_decimal_symbol

from cytolens.clinic.days import offset
from cytolens.clinic.sentences import Sentences

LANGUAGES = ("en", "es")
_DAY = {"en": "d MMMM y", "es": "d 'de' MMMM 'de' y"}  # the month in letters: read in one way


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return each English text in a language; English needs none."""
    if language not in LANGUAGES:
        raise ValueError(f"documents are not written in {language!r}")
    if language == "en":
        return {}
    source = files("cytolens.clinic.documents") / "words" / f"{language}.toml"
    return dict(tomllib.loads(source.read_text(encoding="utf-8"))["words"])


def translator(locale: str) -> Callable[..., str]:
    """Return what gives a text in a language ("es", "es_PE"), with `{names}` filled in.

    A word that a bundle or a laboratory brought, and that has no translation, stays as it is; a
    sentence of a bundle, with numbers filled in, is known by its places `{0}`, `{1}`.
    """
    words = catalogue(_language(locale))
    sentences = Sentences(words, get_decimal_symbol(locale))

    def said(text: str, **values: Any) -> str:
        return words.get(text, text).format(**values) if values else sentences.told(text)

    return said


def day(value: str, locale: str) -> str:
    """Write an ISO date."""
    pattern = _DAY[_language(locale)]
    return format_date(date.fromisoformat(value), pattern, locale=locale) if value else ""


def moment(value: str, locale: str) -> str:
    """Write an ISO time at its own offset, which is shown."""
    if not value:
        return ""
    at = datetime.fromisoformat(value)
    pattern = f"{_DAY[_language(locale)]}, HH:mm\N{NO-BREAK SPACE}'{offset(at)}'"
    return format_datetime(at, pattern, locale=locale)


def percent(value: float, locale: str) -> str:
    """Write a share with at most one digit after the point."""
    return format_percent(value, "#,##0.# %", locale=locale)


def number(value: float, locale: str, digits: int = 3) -> str:
    """Write a number with so many digits after the point."""
    return format_decimal(value, "0." + "0" * digits, locale=locale)


def count(value: int, locale: str) -> str:
    """Write a whole number."""
    return format_decimal(value, locale=locale)


def _language(locale: str) -> str:
    return locale.partition("_")[0]
