"""The quality sample: a share of cleared cases is drawn by lot and read again, blind.

That at least a tenth is re-read is the American rule (42 CFR 493.1274); here it is 15 in a
hundred, and the director may ask for more.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from scipy.stats import beta
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound, Refused
from cytolens.clinic.oversight.period import at_sites, month
from cytolens.clinic.oversight.signed import SIGNED, severity_by_category, signed_cases
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Choice, QualityDraw, Reading, Report, Site, User
from cytolens.core.files import sha256_json
from cytolens.core.seeding import rng

LEAST_PERCENT = 15
_LISTED = 200


@dataclass(frozen=True)
class Drawn:
    """A site's sample of a month.

    Attributes:
        cleared: cases first signed in the month whose reading that stands is clear.
        percent: of them that are to be drawn.
        target: that many cases, rounded up.
        drawn: so far; `new`: by this call.
        read: of the drawn ones.
    """

    site: int
    code: str
    name: str
    period: str
    cleared: int
    percent: int
    target: int
    drawn: int
    read: int
    new: int = 0


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
class Results:
    """What the second readings came to.

    Attributes:
        drawn, read: cases.
        said: second readings that say clear or abnormal.
        missed: of `said`, those that say abnormal; `share` with its exact 95 % interval.
        same: of `read`, those with the very same category.
        cases: the missed ones, the newest first.
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


def wanted(cases: int, percent: int) -> int:
    """Return how many of so many cases are drawn: the share, rounded up, in whole numbers."""
    return (cases * percent + 99) // 100


def percent_of(db: Session, site: int) -> int:
    """Return which share of cleared cases a site draws, in a hundred; never below 15."""
    choice = db.get(Choice, _choice(site))
    return LEAST_PERCENT if choice is None else max(LEAST_PERCENT, int(choice.value["percent"]))


def choose_percent(db: Session, actor: Actor, percent: int) -> None:
    """Set which share of cleared cases is drawn at the account's sites.

    Raises:
        Refused: below 15 or above 100.
    """
    actor.must(Action.DRAW_QUALITY)
    if not LEAST_PERCENT <= percent <= 100:
        raise Refused(
            f"{percent} % cannot be set.", expected=f"{LEAST_PERCENT} to 100 % of cleared cases"
        )
    trail.take_turn(db)
    for site in _sites(db, actor):
        before = percent_of(db, site.id)
        choice = db.get(Choice, _choice(site.id))
        if choice is None:
            db.add(Choice(name=_choice(site.id), value={"percent": percent}))
        else:
            choice.value = {"percent": percent}
        trail.record(
            db, actor, "quality.share_chosen", "site", site.id, site=site.id,
            percent=percent, before=before,
        )  # fmt: skip


def draw(db: Session, actor: Actor, period: str, seed: int | None = None) -> list[Drawn]:
    """Draw what is missing of a month's sample at each of the account's sites.

    Called again it adds what was cleared since, and nothing where the sample is complete. The line
    in the audit log holds the seed, the hash of the cases it was drawn from and those that were
    drawn, so that `chosen` gives the same again.

    Args:
        period: "2026-11".
        seed: of the lot; None: drawn by the system.

    Raises:
        Refused: no month, or one that has not begun.
    """
    actor.must(Action.DRAW_QUALITY)
    if month(period).first > clock.now().date():
        raise Refused(f"The month {period} has not begun.")
    trail.take_turn(db)
    result = []
    for site in _sites(db, actor):
        cleared = _cleared(db, actor, period, site.id)
        drawn = _drawn_of(db, period, site.id)
        open_cases = sorted(set(cleared) - set(drawn))
        percent = percent_of(db, site.id)
        target = wanted(len(cleared), percent)
        missing = min(max(0, target - len(set(cleared) & set(drawn))), len(open_cases))
        if missing:
            lot = secrets.randbelow(2**31) if seed is None else seed
            new = chosen(open_cases, missing, lot, site.id, period)
            db.add_all(
                QualityDraw(case_id=case, period=period, drawn_at=clock.now()) for case in new
            )
            db.flush()
            trail.record(
                db, actor, "quality.drawn", "site", site.id, site=site.id, period=period,
                percent=percent, cleared=len(cleared), before=len(drawn), seed=lot,
                among=len(open_cases), among_sha256=sha256_json(open_cases), drawn=new,
            )  # fmt: skip
        result.append(_state(db, site, period, cleared, missing))
    return result


def chosen(cases: Sequence[int], count: int, seed: int, site: int, period: str) -> list[int]:
    """Return which of these cases a lot takes: the same for the same arguments."""
    lot = rng(seed, "quality sample", site, period)
    picked: list[int] = lot.choice(sorted(cases), size=count, replace=False).tolist()
    return sorted(picked)


def states(db: Session, actor: Actor, period: str) -> list[Drawn]:
    """Return how a month's sample stands at each of the account's sites.

    Raises:
        Refused: no month.
    """
    actor.must(Action.READ_FIGURES)
    return [
        _state(db, site, period, _cleared(db, actor, period, site.id), 0)
        for site in _sites(db, actor)
    ]


def results(
    db: Session, actor: Actor, first: date | None = None, last: date | None = None
) -> Results:
    """Return what the second readings of the months from `first` to `last` came to."""
    actor.must(Action.READ_FIGURES)
    second, reader = aliased(Reading), aliased(User)
    standing, signer = aliased(Reading), aliased(User)
    stood = (  # the reading that stood when the case was drawn
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
    asked = (
        select(
            Case.id, Case.accession, QualityDraw.period, Case.specimen, standing.category,
            signer.username, second.category, reader.username,
        )
        .select_from(QualityDraw)
        .join(Case, Case.id == QualityDraw.case_id)
        .join(standing, standing.id == stood)
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
    rows = db.execute(asked).all()
    severities = severity_by_category()
    reread = [
        Reread(*row, severity=severities.get((row[3], row[6]), -1))
        for row in rows
        if row[6] is not None
    ]
    missed = [case for case in reread if case.severity > 0]
    said = sum(case.severity >= 0 for case in reread)
    low, high = clopper_pearson(len(missed), said)
    return Results(
        drawn=len(rows),
        read=len(reread),
        said=said,
        missed=len(missed),
        share=len(missed) / said if said else None,
        low=low,
        high=high,
        same=sum(case.first == case.second for case in reread),
        cases=missed[:_LISTED],
    )


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a proportion (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, successes, n - successes + 1)) if successes else 0.0
    high = float(beta.ppf(0.975, successes + 1, n - successes)) if successes < n else 1.0
    return low, high


def _cleared(db: Session, actor: Actor, period: str, site: int) -> list[int]:
    cases = signed_cases(db, actor, month(period), site=site)
    return [case.case for case in cases if case.severity == 0]


def _drawn_of(db: Session, period: str, site: int) -> list[int]:
    asked = select(QualityDraw.case_id).join(Case, Case.id == QualityDraw.case_id)
    return list(db.scalars(asked.where(QualityDraw.period == period, Case.site_id == site)))


def _state(db: Session, site: Site, period: str, cleared: Sequence[int], new: int) -> Drawn:
    asked = select(QualityDraw.reading_id).join(Case, Case.id == QualityDraw.case_id)
    read = list(db.scalars(asked.where(QualityDraw.period == period, Case.site_id == site.id)))
    percent = percent_of(db, site.id)
    return Drawn(
        site=site.id,
        code=site.code,
        name=site.name,
        period=period,
        cleared=len(cleared),
        percent=percent,
        target=wanted(len(cleared), percent),
        drawn=len(read),
        read=sum(reading is not None for reading in read),
        new=new,
    )


def _sites(db: Session, actor: Actor) -> list[Site]:
    sites = list(db.scalars(select(Site).where(at_sites(actor, Site.id)).order_by(Site.code)))
    if not sites:
        raise NotFound("The account belongs to no site.", fix="ask the administrator.")
    return sites


def _choice(site: int) -> str:
    return f"quality sample of site {site}"
