"""What second readings of the quality sample came to: cleared and abnormal cases apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from scipy.stats import beta
from sqlalchemy import ScalarSelect, select
from sqlalchemy.orm import Session, aliased

from cytolens.clinic.actor import Actor
from cytolens.clinic.oversight.period import at_sites
from cytolens.clinic.oversight.signed import severity_by_category
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, QualityDraw, Reading, Report, User
from cytolens.clinic.tables.cases import SIGNED

_LISTED = 200


@dataclass(frozen=True)
class Reread:
    """A drawn case that was read again: both categories, and whose they are."""

    case: int
    accession: str
    period: str
    specimen: str
    first: str
    first_doctor: str
    second: str
    second_doctor: str
    severity: int


@dataclass(frozen=True)
class Mixed:
    """What the second readings of the abnormal cases came to that are mixed in.

    Attributes:
        said: second readings that say clear or abnormal.
        cleared: of `said`, those that say clear; `share` with its exact 95 % interval.
        same: of `read`, those with the very same category.
    """

    drawn: int
    read: int
    said: int
    cleared: int
    share: float | None
    low: float
    high: float
    same: int


@dataclass(frozen=True)
class Results:
    """What the second readings came to.

    Attributes:
        drawn, read: cases that were clear when they were drawn.
        said: second readings that say clear or abnormal.
        missed: of `said`, those that say abnormal; `share` with its exact 95 % interval.
        same: of `read`, those with the very same category.
        cases: the missed ones, the newest first.
        mixed: the abnormal cases among them.
    """

    drawn: int
    read: int
    said: int
    missed: int
    share: float | None
    low: float
    high: float
    same: int
    cases: list[Reread]
    mixed: Mixed


def results(
    db: Session, actor: Actor, first: date | None = None, last: date | None = None
) -> Results:
    """Return what the second readings of the months from `first` to `last` came to."""
    actor.must(Action.READ_FIGURES)
    second, reader = aliased(Reading), aliased(User)
    standing, signer = aliased(Reading), aliased(User)
    asked = (
        select(
            Case.id, Case.accession, QualityDraw.period, Case.specimen, standing.category,
            signer.username, second.category, reader.username,
        )
        .select_from(QualityDraw)
        .join(Case, Case.id == QualityDraw.case_id)
        .join(standing, standing.id == standing_reading())
        .join(signer, signer.id == standing.doctor_id)
        .outerjoin(second, second.id == QualityDraw.reading_id)
        .outerjoin(reader, reader.id == second.doctor_id)
        .where(at_sites(actor))
        .order_by(QualityDraw.drawn_at.desc(), Case.id.desc())
    )  # fmt: skip
    if first is not None:
        asked = asked.where(QualityDraw.period >= f"{first:%Y-%m}")
    if last is not None:
        asked = asked.where(QualityDraw.period <= f"{last:%Y-%m}")
    severities = severity_by_category()
    clear, abnormal = _Pile(), _Pile()
    for row in db.execute(asked):
        pile = abnormal if severities.get((row[3], row[4]), -1) > 0 else clear
        pile.drawn += 1
        if row[6] is not None:
            pile.read.append(Reread(*row, severity=severities.get((row[3], row[6]), -1)))
    missed = [case for case in clear.read if case.severity > 0]
    cleared = sum(case.severity == 0 for case in abnormal.read)
    return Results(
        **clear.counts(len(missed)),
        missed=len(missed),
        cases=missed[:_LISTED],
        mixed=Mixed(**abnormal.counts(cleared), cleared=cleared),
    )


@dataclass
class _Pile:
    """Drawn cases of one kind, and those of them that were read again."""

    drawn: int = 0
    read: list[Reread] = field(default_factory=list)

    def counts(self, other: int) -> dict[str, Any]:
        """Return what is said of both kinds; `other`: second readings that say the other kind."""
        said = sum(case.severity >= 0 for case in self.read)
        low, high = clopper_pearson(other, said)
        return {
            "drawn": self.drawn,
            "read": len(self.read),
            "said": said,
            "share": other / said if said else None,
            "low": low,
            "high": high,
            "same": sum(case.first == case.second for case in self.read),
        }


def standing_reading() -> ScalarSelect[int]:
    """Return the reading that stood when a case was drawn, of `QualityDraw` and `Case`."""
    return (
        select(Report.reading_id)
        .where(
            Report.case_id == Case.id,
            Report.status.in_(SIGNED),
            Report.created_at <= QualityDraw.drawn_at,
        )
        .order_by(Report.version.desc())
        .limit(1)
        .correlate(Case, QualityDraw)
        .scalar_subquery()
    )


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a proportion (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, successes, n - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, n - successes)) if successes < n else 1.0
    return low, high
