"""The figures of a period as files: CSV, and PDF set by Typst."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from babel.numbers import format_decimal
from sqlalchemy import select

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.days import here
from cytolens.clinic.documents.glyphs import shown
from cytolens.clinic.documents.translation import day, moment
from cytolens.clinic.documents.typesetting import NotSet, typeset
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.locales import locale_of
from cytolens.clinic.management.cells import csv_lines
from cytolens.clinic.oversight.agreement import agreement_of
from cytolens.clinic.oversight.drift import drift
from cytolens.clinic.oversight.figures import figures
from cytolens.clinic.oversight.period import Period, at_sites
from cytolens.clinic.oversight.quality import states
from cytolens.clinic.oversight.second_readings import results
from cytolens.clinic.oversight.sheets import Sheet, Told, Value, Words, clocks, sheets
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Site
from cytolens.core.errors import CytolensError

FORMATS = ("csv", "pdf")
_MOST_MONTHS = 36


def collect(
    installation: Installation, actor: Actor, period: Period, by: str, specimen: str, format: str
) -> Told:
    """Return all that is exported of a period; that it was done is a line of the audit log.

    Raises:
        Refused: another format, no such step, a period of more than three years.
    """
    actor.must(Action.EXPORT_FIGURES)
    if format not in FORMATS:
        raise Refused(f"{format[:20]!r} is no format of the figures.", expected="csv or pdf")
    months = period.steps("month")
    if len(months) > _MOST_MONTHS:
        raise Refused("The period is too long to export.", expected="at most three years")
    with installation.reading() as db:
        found = figures(db, actor, period, by, specimen)
        sites = db.scalars(select(Site).where(at_sites(actor, Site.id)).order_by(Site.code)).all()
        told = Told(
            made_at=clock.now(),
            sites=[site.name for site in sites],
            figures=found,
            agreement=agreement_of(found.signed),
            drifts=drift(db, actor, period),
            samples=[s for m in months for s in states(db, actor, f"{m:%Y-%m}")],
            results=results(db, actor, period.first, period.last),
        )
    with installation.writing() as db:
        trail.record(
            db, actor, "figures.exported", "figures", "", format=format,
            first=str(period.first), last=str(period.last), zone=str(period.zone), by=by,
            specimen=specimen,
        )  # fmt: skip
    return told


def as_csv(told: Told, words: Words) -> str:
    """Return one long table: a line a value, with the table, row and column it stands in.

    Numbers have a decimal point, days are ISO dates, whatever the language: programs read it.
    """
    head = [words("Table"), words("Row"), words("Column"), words("Value")]
    lines = csv_lines(
        head,
        (
            [sheet.title, row[0], sheet.head[place], value]
            for sheet in (_head(told, words), *sheets(told, words))
            for row in sheet.rows
            for place, value in enumerate(row)
            if place
        ),
    )
    return "".join(lines)


def _head(told: Told, words: Words) -> Sheet:
    period = told.figures.period
    rows: list[list[Value]] = [
        [words("From"), str(period.first)],
        [words("To"), str(period.last)],
        [words("Time zone"), str(period.zone)],
        [words("As of"), clocks(told.made_at, period.zone)],
    ]
    return Sheet(words("Period"), [words("What"), words("Value")], rows)


def as_pdf(told: Told, words: Words, language: str, region: str = "") -> bytes:
    """Return the same tables as PDF/A, with numbers and days as they are written in a region.

    Raises:
        CytolensError: it cannot be set.
    """
    with tempfile.TemporaryDirectory(prefix="cytolens-figures-") as name:
        folder = Path(name)
        content = json.dumps(_content(told, words, language, region), ensure_ascii=False)
        (folder / "figures.json").write_text(content, encoding="utf-8")
        try:
            [made] = typeset(folder, "cytolens.clinic.oversight", "figures.typ")
        except NotSet as error:
            raise CytolensError(f"The figures cannot be set: {error}") from error
    return made


def _content(told: Told, words: Words, language: str, region: str) -> dict[str, Any]:
    period, made, locale = told.figures.period, told.made_at, locale_of(language, region)
    zoned = words("Days begin at midnight in the time zone %(zone)s.") % {"zone": period.zone}
    return {
        "language": language,
        "title": words("Figures"),
        "period": f"{day(str(period.first), locale)} – {day(str(period.last), locale)}",
        "sites": shown(", ".join(told.sites)),
        "made": moment(here(made, period.zone).isoformat(), locale),
        "date": [made.year, made.month, made.day, made.hour, made.minute, made.second],
        "days": zoned,
        "disclaimer": words("A finding of the system is not a diagnosis."),
        "nothing": words("Nothing."),
        "sheets": [
            {
                "title": sheet.title,
                "head": sheet.head,
                "rows": _cells(sheet, locale),
                "numbers": [
                    any(isinstance(row[place], int | float) for row in sheet.rows)
                    for place in range(len(sheet.head))
                ],
                "note": sheet.note,
            }
            for sheet in sheets(told, words)
        ],
    }


def _cells(sheet: Sheet, locale: str) -> list[list[str]]:
    """Return the cells as they are shown; those of a column have the same digits."""
    after = [max(map(_digits, column)) for column in zip(*sheet.rows, strict=True)]
    return [
        [_cell(value, n, locale) for value, n in zip(row, after, strict=True)] for row in sheet.rows
    ]


def _digits(value: Value) -> int:
    return len(f"{value:g}".partition(".")[2]) if isinstance(value, float) else 0


def _cell(value: Value, digits: int, locale: str) -> str:
    if value is None or isinstance(value, str):
        return "–" if value is None else shown(value)
    pattern = "#,##0." + "0" * digits if isinstance(value, float) and digits else "#,##0"
    return format_decimal(value, pattern, locale=locale)
