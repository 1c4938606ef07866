"""The laboratory's days: what is kept is UTC, but a day begins where the laboratory is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from sqlalchemy.orm import Session

from cytolens.clinic import clock

ZONE = "zone"  # of `Session.info`: the zone of the installation, see `Settings.zone`
FIRST, LAST = date(1850, 1, 1), date(2200, 12, 31)  # what lies beyond is a slip of the hand
_MINUTE = timedelta(minutes=1)


def zone_of(db: Session) -> tzinfo:
    """Return the time zone of the installation that a session is of."""
    zone: tzinfo = db.info.get(ZONE, UTC)
    return zone


def here(moment: datetime, zone: tzinfo) -> datetime:
    """Return a moment as clocks in the zone show it, with a fixed offset of whole minutes.

    Before zones were agreed upon towns had odd seconds, which FHIR and DICOM cannot say.
    """
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return moment.astimezone(timezone(offset // _MINUTE * _MINUTE) if offset else UTC)


def day_of(moment: datetime, zone: tzinfo) -> date:
    """Return the day on which a moment falls in the zone."""
    return moment.astimezone(zone).date()


def today(zone: tzinfo) -> date:
    """Return the day that it is in the zone."""
    return day_of(clock.now(), zone)


def start(day: date, zone: tzinfo) -> datetime:
    """Return the first moment of a day, UTC; where clocks are set on over midnight, that moment."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def end(day: date, zone: tzinfo) -> datetime:
    """Return the first moment after a day, UTC."""
    return start(day + timedelta(days=1), zone)


def offset(moment: datetime) -> str:
    """Return the offset of a moment: "UTC", "UTC\N{MINUS SIGN}5", "UTC+5:30"."""
    found = moment.utcoffset() or timedelta(0)
    hours, minutes = divmod(abs(found) // _MINUTE, 60)
    if not hours and not minutes:
        return "UTC"
    sign = "+" if found > timedelta(0) else "\N{MINUS SIGN}"
    return f"UTC{sign}{hours}" + (f":{minutes:02}" if minutes else "")
