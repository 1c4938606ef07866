"""Which days and which sites figures speak of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import InstrumentedAttribute

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.tables import Case

STEPS = ("day", "week", "month")
_USUAL_DAYS = 90
_MOST_DAYS = 3700
_MOST_STEPS = 400


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included, as they begin in a time zone.

    Raises:
        Refused: the last before the first, or more than about ten years.
    """

    first: date
    last: date
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise Refused("The period ends before it begins.", rows=[f"{self.first}, {self.last}"])
        if (self.last - self.first).days > _MOST_DAYS:
            raise Refused("The period is too long.", expected="at most ten years")

    @property
    def start(self) -> datetime:
        """The first moment."""
        return days.start(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return days.end(self.last, self.zone)

    def day(self, moment: datetime) -> date:
        """Return the day of a moment within it."""
        # Where clocks were set back over midnight, a moment after it may have the day before.
        return min(max(days.day_of(moment, self.zone), self.first), self.last)

    def steps(self, by: str) -> list[date]:
        """Return the first day of each day, week (Monday) or month that it touches.

        Raises:
            Refused: another step, or too many of them.
        """
        if by not in STEPS:
            raise Refused(f"{by[:20]!r} is no step.", expected="one of " + ", ".join(STEPS))
        found, now = [], begin(self.first, by)
        while now <= self.last:
            found.append(now)
            now = begin(now + timedelta(days={"day": 1, "week": 7, "month": 31}[by]), by)
            if len(found) > _MOST_STEPS:
                raise Refused(
                    "These are too many steps for one figure.", fix="take weeks or months."
                )
        return found


def begin(of: date, by: str) -> date:
    """Return the first day of the day, week or month that a day lies in."""
    if by == "week":
        return of - timedelta(days=of.weekday())
    return of.replace(day=1) if by == "month" else of


def period(first: date | None = None, last: date | None = None, zone: tzinfo = UTC) -> Period:
    """Return a period; without a last day it ends today, without a first it has 90 days."""
    last = last or days.today(zone)
    return Period(first or last - timedelta(days=_USUAL_DAYS - 1), last, zone)


def month(text: str, zone: tzinfo = UTC) -> Period:
    """Return the month "2026-11".

    Raises:
        Refused: no month.
    """
    try:
        first = date.fromisoformat(f"{text}-01")
        if not days.FIRST <= first <= days.LAST:
            raise ValueError("of no clinic")
    except ValueError as error:
        raise Refused(f"{text[:20]!r} is no month.", expected="2026-11") from error
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(first, following - timedelta(days=1), zone)


def at_sites(actor: Actor, site: InstrumentedAttribute[int] = Case.site_id) -> ColumnElement[bool]:
    """Return the condition that a row lies at a site of the account."""
    return true() if actor.role is None else site.in_(sorted(actor.sites))
