"""The demonstration's quality control: signed cases drawn by lot, most of them read again."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from cytolens.clinic import clock
from cytolens.clinic.demo.people import Cast
from cytolens.clinic.desk import cases, readings
from cytolens.clinic.desk import quality as desk
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight import quality
from cytolens.clinic.tables import Reading

_SEED = 11  # of the lot, so that every demonstration shows the same
_LEFT = 3  # of so many drawn cases one is left for whoever looks
_DIFFERS = 4  # of so many cleared ones one is not found clear again


def draw_and_read(clinic: Installation, cast: Cast, present: datetime) -> None:
    """Draw the last months' samples, and let the doctors read most of them; again adds nothing."""
    first_of_month = present.replace(day=1)
    before = first_of_month - timedelta(days=1)
    earlier = before.replace(day=1) - timedelta(days=1)
    with clock.at(present - timedelta(hours=2)), clinic.writing() as db:
        for day in (earlier, before):
            quality.draw(db, cast.actors["director"], f"{day:%Y-%m}", seed=_SEED)
    with clock.at(present - timedelta(hours=1)):
        for name in ("doctor2", "doctor", "doctor3"):
            _read(clinic, cast, name)


def _read(clinic: Installation, cast: Cast, name: str) -> None:
    actor = cast.actors[name]
    with clinic.reading() as db:
        waiting = [row.case_id for row in desk.waiting(db, actor)]
    for case_id in waiting:
        if case_id % _LEFT == 0:
            continue
        with clinic.writing() as db:
            revision = cases.find(db, actor, case_id).revision
            first = db.scalars(
                select(Reading.category)
                .where(Reading.case_id == case_id)
                .order_by(Reading.id.desc())
                .limit(1)
            ).one()
            category = "ASC-US" if first == "NILM" and case_id % _DIFFERS == 0 else first
            readings.enter(db, actor, case_id, "quality", category, "", "", revision)
