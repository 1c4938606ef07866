"""Pages: templates with the words, dates and numbers of whoever reads them."""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.resources import files
from types import ModuleType
from typing import Any

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action
from cytolens.clinic.web.words import sentences, translator

LANGUAGES = ("en", "es")
_kept = lru_cache(10_000, typed=True)  # of one kind of text: lists say the same again and again
_DAY = "d MMM y"  # with the month's name: 3/9 is March to some and September to others
_MOMENT = f"{_DAY}, HH:mm"


@cache
def environment(language: str) -> Environment:
    """Return the templates in one language."""
    made = Environment(
        loader=PackageLoader("cytolens.clinic.web"),
        autoescape=select_autoescape(default_for_string=True, default=True),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    words = translator(language)
    made.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    made.globals["Action"] = Action
    made.globals["version"] = version("cytolens")
    made.globals["assets"] = assets()
    made.globals["demonstration"] = _demonstration

    @_kept
    def moment(value: datetime | None) -> str:
        return "" if value is None else format_datetime(value, _MOMENT, locale=language)

    @_kept
    def day(value: date | None) -> str:
        return "" if value is None else format_date(value, _DAY, locale=language)

    @_kept
    def number(value: float | None) -> str:
        return "" if value is None else format_decimal(value, locale=language)

    @_kept
    def percent(value: float | None) -> str:
        return "" if value is None else format_percent(value, "#,##0.0 %", locale=language)

    def ago(value: datetime | None) -> str:
        if value is None:
            return ""
        return format_timedelta(value - clock.now(), add_direction=True, locale=language)

    made.filters.update(moment=moment, day=day, number=number, percent=percent, ago=ago)
    made.filters["told"] = sentences(language).told
    return made


@cache
def assets() -> str:
    """Return what static files are addressed with (`?v=`): it changes when one of them does."""
    digest = hashlib.sha256()
    folder = files("cytolens.clinic.web") / "static"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _demonstration() -> ModuleType:
    """Return the accounts and the password of the demonstration."""
    from cytolens.clinic.demo import people

    return people


def language_of(request: Request) -> str:
    """Return the language of the account, else of the browser, else English."""
    actor = getattr(request.state, "actor", None)
    if isinstance(actor, Actor):
        return actor.language if actor.language in LANGUAGES else "en"
    wanted = request.headers.get("Accept-Language", "").lower()
    return "es" if wanted.startswith("es") else "en"


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page; `actor`, `csrf`, `request` and `language` are in every template."""
    language = language_of(request)
    content = (
        environment(language)
        .get_template(template)
        .render(
            request=request,
            language=language,
            actor=getattr(request.state, "actor", None),
            csrf=getattr(request.state, "csrf", ""),
            settings=request.app.state.clinic.settings,
            **context,
        )
    )
    return HTMLResponse(content, status_code=status)
