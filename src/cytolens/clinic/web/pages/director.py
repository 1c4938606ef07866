"""Figures, drift, the quality sample and exports, for a director."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.oversight import exports, quality
from cytolens.clinic.oversight.agreement import DECISIONS, KINDS
from cytolens.clinic.oversight.drift import FIRST, LEAST_CASES
from cytolens.clinic.oversight.figures import AGES
from cytolens.clinic.oversight.period import STEPS, month, period
from cytolens.clinic.oversight.remembered import RememberedDrift, RememberedFigures
from cytolens.clinic.oversight.second_readings import results
from cytolens.clinic.oversight.stability import SHIFTED, WATCH
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.optional import day, whole
from cytolens.clinic.web.render import language_of, page
from cytolens.clinic.web.words import translator

router = APIRouter()
Reader = Annotated[Actor, Depends(May(Action.READ_FIGURES))]
Drawer = Annotated[Actor, Depends(May(Action.DRAW_QUALITY))]
Exporter = Annotated[Actor, Depends(May(Action.EXPORT_FIGURES))]


class Asked:
    """What an address asks for: days, step, specimen type; empty ones are the usual."""

    def __init__(
        self,
        clinic: Clinic,
        since: Annotated[str, Query(max_length=10)] = "",
        until: Annotated[str, Query(max_length=10)] = "",
        by: Annotated[str, Query(max_length=10)] = "week",
        specimen: Annotated[str, Query(max_length=40)] = "",
    ) -> None:
        self.period = period(day(since, "From"), day(until, "To"), clinic.settings.zone)
        if specimen and specimen not in vocabularies():
            raise Refused(
                f"There is no specimen type {specimen!r}.",
                expected="one of " + ", ".join(vocabularies()),
            )
        self.by, self.specimen = by, specimen

    @property
    def address(self) -> str:
        """What is asked for as a query."""
        asked = {"since": self.period.first, "until": self.period.last, "by": self.by}
        return urlencode(asked | ({"specimen": self.specimen} if self.specimen else {}))


@router.get("/figures")
def show_figures(
    request: Request, actor: Reader, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Show volumes, turnaround, class mix and agreement of a period."""
    seen = clinic.part(RememberedFigures).of(clinic, actor, asked.period, asked.by, asked.specimen)
    return page(
        request,
        "director/figures.html.j2",
        figures=seen.figures,
        agreement=seen.agreement,
        at=seen.at,
        asked=asked,
        steps=STEPS,
        ages=AGES,
        decisions=DECISIONS,
        kinds=KINDS,
        specimens=vocabularies(),
    )


@router.get("/figures/export.csv")
def export_figures_csv(
    request: Request, actor: Exporter, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Export the figures as CSV."""
    told = exports.collect(clinic, actor, asked.period, asked.by, asked.specimen, "csv")
    content = exports.as_csv(told, translator(language_of(request)).gettext)
    return _file(content.encode("utf-8-sig"), "text/csv; charset=utf-8", "figures.csv")


@router.get("/figures/export.pdf")
def export_figures_pdf(
    request: Request, actor: Exporter, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Export the figures as PDF."""
    told = exports.collect(clinic, actor, asked.period, asked.by, asked.specimen, "pdf")
    language = language_of(request)
    content = exports.as_pdf(told, translator(language).gettext, language, clinic.settings.region)
    return _file(content, "application/pdf", "figures.pdf")


@router.get("/drift")
def show_drift(
    request: Request, actor: Reader, clinic: Clinic, asked: Annotated[Asked, Depends()]
) -> Response:
    """Show whether images and scores of each bundle are still what they were."""
    seen = clinic.part(RememberedDrift).of(clinic, actor, asked.period)
    return page(
        request,
        "director/drift.html.j2",
        bundles=seen.drifts,
        at=seen.at,
        asked=asked,
        specimens=vocabularies(),
        limits={"watch": WATCH, "shifted": SHIFTED, "first": FIRST, "cases": LEAST_CASES},
    )


@router.get("/quality-control")
def show_quality_control(
    request: Request,
    actor: Drawer,
    clinic: Clinic,
    period: Annotated[str, Query(max_length=10)] = "",
) -> Response:
    """Show a month's quality sample, and what second readings came to."""
    asked = period or f"{days.today(clinic.settings.zone):%Y-%m}"
    last = month(asked).last
    with clinic.reading() as db:
        states = quality.states(db, actor, asked)
        year = last.replace(year=last.year - 1, day=1)
        found = results(db, actor, year, last)
    return page(
        request,
        "director/quality_control.html.j2",
        period=asked,
        states=states,
        results=found,
        mixed=quality.MIXED,
        least=quality.LEAST_PERCENT,
        specimens=vocabularies(),
    )


@router.post("/quality-control/draw")
def draw_quality(
    actor: Drawer, clinic: Clinic, period: Annotated[str, Form(max_length=10)]
) -> Response:
    """Draw what is missing of a month's sample."""
    with clinic.writing() as db:
        quality.draw(db, actor, period)
    return RedirectResponse(f"/quality-control?period={period}&done=drawn", status_code=303)


@router.post("/quality-control/share")
def choose_share(
    actor: Drawer, clinic: Clinic, percent: Annotated[str, Form(max_length=10)]
) -> Response:
    """Set which share of cleared cases is drawn."""
    with clinic.writing() as db:
        quality.choose_percent(db, actor, whole(percent, "percent") or 0)
    return RedirectResponse("/quality-control?done=saved", status_code=303)


def _file(content: bytes, media: str, name: str) -> Response:
    return Response(
        content,
        media_type=media,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
