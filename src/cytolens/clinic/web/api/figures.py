"""Figures of a period, their exports, and the quality sample, for a director."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Depends, Query, Request, Response

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.oversight import exports, quality
from cytolens.clinic.oversight.period import month, period
from cytolens.clinic.oversight.remembered import RememberedDrift, RememberedFigures, Seen
from cytolens.clinic.oversight.second_readings import results
from cytolens.clinic.rights import Action
from cytolens.clinic.vocabulary import vocabularies
from cytolens.clinic.web.api.models.figures import (
    Agreement,
    DrawnMonth,
    DrawnShare,
    Drift,
    Figures,
    QualityControl,
    Sample,
)
from cytolens.clinic.web.api.models.shared import ASKED, CHANGES, AnySpecimen, Day, Month, content
from cytolens.clinic.web.api.routing import attachment, group
from cytolens.clinic.web.guard import Clinic, May
from cytolens.clinic.web.render import language_of
from cytolens.clinic.web.words import translator

router = group("figures")
Reader = Annotated[Actor, Depends(May(Action.READ_FIGURES))]
Drawer = Annotated[Actor, Depends(May(Action.DRAW_QUALITY))]
Exporter = Annotated[Actor, Depends(May(Action.EXPORT_FIGURES))]
Step = Annotated[Literal["day", "week", "month"], Query(description="Of volumes and turnaround.")]


class Asked:
    """Which days and which specimen type are asked for."""

    def __init__(
        self,
        clinic: Clinic,
        since: Annotated[Day | None, Query(description="First day; none: 90 days.")] = None,
        until: Annotated[Day | None, Query(description="Last day; none: today.")] = None,
        specimen: Annotated[
            AnySpecimen, Query(description='Code of a specimen type; "": all.')
        ] = "",
    ) -> None:
        self.period = period(since, until, clinic.settings.zone)
        if specimen and specimen not in vocabularies():
            raise Refused(
                f"There is no specimen type {specimen!r}.",
                expected="one of " + ", ".join(vocabularies()),
            )
        self.specimen = specimen


Wanted = Annotated[Asked, Depends()]


@router.get("/figures", response_model=Figures, responses=ASKED, summary="Volumes, turnaround")
def show(clinic: Clinic, actor: Reader, asked: Wanted, by: Step = "week") -> dict[str, Any]:
    """Return volumes, turnaround and class mix of a period, at most five minutes old."""
    seen = clinic.part(RememberedFigures).of(clinic, actor, asked.period, by, asked.specimen)
    limits = {"first": asked.period.first, "last": asked.period.last}
    return vars(seen.figures) | limits | {"at": seen.at}


@router.get("/agreement", response_model=Agreement, responses=ASKED, summary="Agreement")
def agreement(clinic: Clinic, actor: Reader, asked: Wanted) -> dict[str, Any]:
    """Return how doctors and the system agree in a period's cases, at most five minutes old."""
    seen = clinic.part(RememberedFigures).of(clinic, actor, asked.period, "month", asked.specimen)
    return vars(seen.agreement) | {"at": seen.at}


@router.get("/drift", response_model=Drift, responses=ASKED, summary="Drift of each bundle")
def drift(clinic: Clinic, actor: Reader, asked: Wanted) -> Seen:
    """Return whether images and scores of each bundle are still what they were."""
    return clinic.part(RememberedDrift).of(clinic, actor, asked.period)


@router.get(
    "/figures/export",
    response_class=Response,
    responses=ASKED | content("All tables.", csv="text/csv", pdf="application/pdf"),
    summary="Export the figures",
)
def export(
    request: Request,
    clinic: Clinic,
    actor: Exporter,
    asked: Wanted,
    by: Step = "week",
    format: Literal["csv", "pdf"] = "csv",
) -> Response:
    """Return figures, agreement, drift and the quality sample of at most three years."""
    told = exports.collect(clinic, actor, asked.period, by, asked.specimen, format)
    language = language_of(request)
    words = translator(language).gettext
    if format == "csv":
        table = exports.as_csv(told, words).encode("utf-8-sig")
        return attachment(table, "text/csv; charset=utf-8", "figures.csv")
    made = exports.as_pdf(told, words, language, clinic.settings.region)
    return attachment(made, "application/pdf", "figures.pdf")


@router.get(
    "/quality-control",
    response_model=QualityControl,
    responses=ASKED,
    summary="The quality sample",
)
def show_quality(
    clinic: Clinic,
    actor: Drawer,
    wanted: Annotated[Month | None, Query(alias="period", description="None: this month.")] = None,
) -> dict[str, Any]:
    """Return a month's sample, and what the second readings of the year to it came to."""
    asked = wanted or f"{days.today(clinic.settings.zone):%Y-%m}"
    last = month(asked).last
    first = last.replace(year=last.year - 1, day=1)
    with clinic.reading() as db:
        return {
            "period": asked,
            "samples": quality.states(db, actor, asked),
            "results": results(db, actor, first, last),
        }


@router.post(
    "/quality-control/draw",
    response_model=list[Sample],
    responses=CHANGES,
    summary="Draw the quality sample",
)
def draw(clinic: Clinic, actor: Drawer, given: DrawnMonth) -> list[quality.Drawn]:
    """Draw what is missing of a month's sample at each of the account's laboratories."""
    with clinic.writing() as db:
        return quality.draw(db, actor, given.period)


@router.put(
    "/quality-control/share",
    status_code=204,
    responses=CHANGES,
    summary="Set how much is drawn",
)
def choose_share(clinic: Clinic, actor: Drawer, given: DrawnShare) -> None:
    """Set which share of cleared cases is drawn at the account's laboratories."""
    with clinic.writing() as db:
        quality.choose_percent(db, actor, given.percent)
