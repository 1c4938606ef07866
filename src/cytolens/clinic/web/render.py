"""Pages: templates with the words, dates and numbers of whoever reads them."""

from __future__ import annotations

from datetime import date, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Action
from cytolens.clinic.web.words import translator

LANGUAGES = ("en", "es")


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
    )
    words = translator(language)
    made.install_gettext_translations(words, newstyle=True)  # type: ignore[attr-defined]
    made.globals["Action"] = Action
    made.globals["version"] = version("cytolens")

    def moment(value: datetime | None) -> str:
        return "" if value is None else format_datetime(value, "short", locale=language)

    def day(value: date | None) -> str:
        return "" if value is None else format_date(value, "medium", locale=language)

    def number(value: float | None) -> str:
        return "" if value is None else format_decimal(value, locale=language)

    def percent(value: float | None) -> str:
        return "" if value is None else format_percent(value, "#,##0.0 %", locale=language)

    made.filters.update(moment=moment, day=day, number=number, percent=percent)
    return made


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
