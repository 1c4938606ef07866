"""Pages: templates with the words, dates and numbers of whoever reads them."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, tzinfo
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
from markupsafe import Markup

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.days import day_of, here, offset
from cytolens.clinic.locales import locale_of
from cytolens.clinic.rights import Action
from cytolens.clinic.sentences import Sentences
from cytolens.clinic.web.words import sentences, translator

LANGUAGES = ("en", "es")
_kept = lru_cache(10_000, typed=True)  # of one kind of text: lists say the same again and again
_DAY = "d MMM y"  # with the month's name: 3/9 is March to some and September to others
_MOMENT = f"{_DAY}, HH:mm"
_TIME = Markup('<time datetime="{utc}"{title}>{shown}</time>')


@cache
def environment(language: str, zone: tzinfo = UTC, region: str = "") -> Environment:
    """Return the templates in one language, with the times of a zone and a region's numbers."""
    locale = locale_of(language, region)
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
    def clocks(value: datetime) -> str:
        return f"{format_datetime(here(value, zone), _MOMENT, locale=locale)}\N{NO-BREAK SPACE}" + (
            offset(here(value, zone))
        )

    @_kept
    def moment(value: datetime | None) -> str:
        if value is None:
            return ""
        return _TIME.format(utc=_utc(value), shown=clocks(value), title="")

    @_kept
    def day(value: date | None) -> str:
        if isinstance(value, datetime):
            value = day_of(value, zone)
        return "" if value is None else format_date(value, _DAY, locale=locale)

    @_kept
    def step(value: date, by: str) -> str:
        """Name a day, week or month beneath a figure, where there is little room."""
        return format_date(value, "MMM y" if by == "month" else "d MMM", locale=locale)

    @_kept
    def number(value: float | None, digits: int | None = None) -> str:
        """Write a number; with `digits` after the point, so that a column stands even."""
        pattern = None if digits is None else "#,##0" + "." * bool(digits) + "0" * digits
        return "" if value is None else format_decimal(value, pattern, locale=locale)

    @_kept
    def percent(value: float | None) -> str:
        return "" if value is None else format_percent(value, "#,##0.0 %", locale=locale)

    def ago(value: datetime | None) -> str:
        if value is None:
            return ""
        shown = format_timedelta(value - clock.now(), add_direction=True, locale=locale)
        title = Markup(' title="{}"').format(clocks(value))
        return _TIME.format(utc=_utc(value), shown=shown, title=title)

    made.filters.update(moment=moment, day=day, step=step, number=number, percent=percent, ago=ago)
    made.filters["told"] = sentences(locale).told
    return made


def _utc(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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


def sentences_of(request: Request) -> Sentences:
    """Return what services refuse with, in the language of whoever asks."""
    region = request.app.state.clinic.settings.region
    return sentences(locale_of(language_of(request), region))


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page; `actor`, `csrf`, `request` and `language` are in every template."""
    language, settings = language_of(request), request.app.state.clinic.settings
    content = (
        environment(language, settings.zone, settings.region)
        .get_template(template)
        .render(
            request=request,
            language=language,
            actor=getattr(request.state, "actor", None),
            csrf=getattr(request.state, "csrf", ""),
            settings=settings,
            **context,
        )
    )
    return HTMLResponse(content, status_code=status)
