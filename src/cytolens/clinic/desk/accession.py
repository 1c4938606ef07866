"""The laboratory's numbers of specimens: given, or the next of the site and year."""

from __future__ import annotations

import re

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cytolens.clinic.desk import entered
from cytolens.clinic.errors import Conflict
from cytolens.clinic.tables import Case, Site


def given(db: Session, site_id: int, accession: str) -> str:
    """Return a number that was typed.

    Raises:
        Refused: too long, or no text.
        Conflict: taken at this site.
    """
    accession = entered.line(accession, "The accession number", 64, required=True)
    taken = select(Case.id).where(Case.site_id == site_id, Case.accession == accession)
    if db.scalar(taken) is not None:
        raise Conflict(
            f"The accession number {accession} is taken at this laboratory.",
            fix="open that case, or leave the number empty for the next one.",
        )
    return accession


def following(db: Session, site_id: int, year: int) -> str:
    """Return the next number of a site and year: ONE-2026-00012 follows ONE-2026-00011.

    Whoever asks has taken its turn (`trail.take_turn`), so that two cases opened at once get two
    numbers. Numbers of another form that begin alike are passed over.
    """
    stem = f"{db.get_one(Site, site_id).code}-{year}-"
    used = (
        select(Case.accession)
        .where(Case.site_id == site_id, Case.accession.startswith(stem, autoescape=True))
        .order_by(func.length(Case.accession).desc(), Case.accession.desc())
        .execution_options(yield_per=20)
    )
    with db.scalars(used) as accessions:
        for accession in accessions:
            if found := re.fullmatch(r"[0-9]{5,9}", accession.removeprefix(stem)):
                return f"{stem}{int(found[0]) + 1:05}"
    return f"{stem}00001"
