"""The quality sample: a share of signed cases is drawn by lot and read again, blind.

That at least a tenth of the cleared ones is re-read is the American rule (42 CFR 493.1274); here
it is 15 in a hundred, and the director may ask for more. Whoever re-reads cleared cases alone
knows what the first reading said; so for every five of them one that was signed as abnormal is
mixed in. The two kinds are counted apart (`second_readings`).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, days, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound, Refused
from cytolens.clinic.oversight.period import at_sites, month
from cytolens.clinic.oversight.second_readings import standing_reading
from cytolens.clinic.oversight.signed import severity_by_category, signed_cases
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Choice, QualityDraw, Reading, Site
from cytolens.core.files import sha256_json
from cytolens.core.seeding import rng

LEAST_PERCENT = 15
MIXED = 5  # of so many cleared cases that are drawn, one abnormal is mixed in


@dataclass(frozen=True)
class Drawn:
    """A site's sample of a month.

    Attributes:
        cleared: cases first signed in the month whose reading that stands is clear.
        percent: of them that are to be drawn.
        target: that many cases, rounded up.
        drawn, read: of those that were clear when they were drawn.
        new: drawn by this call, of both kinds.
        abnormal: cases first signed in the month whose reading that stands is abnormal.
        mixed_target: of them that are to be mixed in, as far as there are so many.
        mixed, mixed_read: as `drawn` and `read`, of those that were abnormal.
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
    new: int
    abnormal: int
    mixed_target: int
    mixed: int
    mixed_read: int


def wanted(cases: int, percent: int) -> int:
    """Return how many of so many cases are drawn: the share, rounded up, in whole numbers."""
    return (cases * percent + 99) // 100


def mixed_in(cleared: int, abnormal: int) -> int:
    """Return how many abnormal cases are mixed among drawn cleared ones: a fifth, rounded up."""
    return min(-(-cleared // MIXED), abnormal)


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

    Called again it adds what was signed since, and nothing where the sample is complete. The line
    in the audit log holds the seed, of each kind the hash of the cases it was drawn from, and what
    was drawn without saying which case is of which kind (administrators read that log), so that
    `chosen` gives the same again.

    Args:
        period: "2026-11".
        seed: of the lot; None: drawn by the system.

    Raises:
        Refused: no month, or one that has not begun.
    """
    actor.must(Action.DRAW_QUALITY)
    zone = days.zone_of(db)
    if month(period, zone).first > days.today(zone):
        raise Refused(f"The month {period} has not begun.")
    trail.take_turn(db)
    signed = _signed(db, actor, period)
    return [_draw(db, actor, site, period, signed[site.id], seed) for site in _sites(db, actor)]


def _draw(
    db: Session, actor: Actor, site: Site, period: str, signed: _Signed, seed: int | None
) -> Drawn:
    before = _drawn_of(db, period, site.id)
    drawn = {case.case for case in before}
    clear, abnormal = ([case for case in cases if case not in drawn] for cases in signed)
    percent = percent_of(db, site.id)
    target = wanted(len(signed.clear), percent)
    missing = min(max(0, target - len(drawn.intersection(signed.clear))), len(clear))
    mixed = mixed_in(target, len(signed.abnormal)) - sum(case.abnormal for case in before)
    missing_mixed = min(max(0, mixed), len(abnormal))
    if missing or missing_mixed:
        lot = secrets.randbelow(2**31) if seed is None else seed
        new = chosen(clear, missing, lot, site.id, period)
        new_mixed = chosen(abnormal, missing_mixed, lot, site.id, period, kind="abnormal")
        among = sorted(new + new_mixed)  # so that no order tells the kinds apart
        db.add_all(QualityDraw(case_id=case, period=period, drawn_at=clock.now()) for case in among)
        db.flush()
        trail.record(
            db, actor, "quality.drawn", "site", site.id, site=site.id, period=period,
            percent=percent, cleared=len(signed.clear), before=len(before), seed=lot,
            among=len(clear), among_sha256=sha256_json(clear),
            among_abnormal=len(abnormal), among_abnormal_sha256=sha256_json(abnormal),
            drawn=among, mixed=len(new_mixed),
        )  # fmt: skip
    return _state(db, site, period, signed, missing + missing_mixed)


def chosen(
    cases: Sequence[int], count: int, seed: int, site: int, period: str, kind: str = "clear"
) -> list[int]:
    """Return which of these cases a lot takes: the same for the same arguments."""
    named = ("quality sample", site, period) + (() if kind == "clear" else (kind,))
    picked: list[int] = rng(seed, *named).choice(sorted(cases), size=count, replace=False).tolist()
    return sorted(picked)


def states(db: Session, actor: Actor, period: str) -> list[Drawn]:
    """Return how a month's sample stands at each of the account's sites.

    Raises:
        Refused: no month.
    """
    actor.must(Action.READ_FIGURES)
    signed = _signed(db, actor, period)
    return [_state(db, site, period, signed[site.id], 0) for site in _sites(db, actor)]


class _Signed(NamedTuple):
    """Cases first signed in a month, by what the reading that stands says; in order."""

    clear: list[int]
    abnormal: list[int]


class _Case(NamedTuple):
    """A drawn case; `abnormal`: when it was drawn."""

    case: int
    abnormal: bool
    read: bool


def _signed(db: Session, actor: Actor, period: str) -> defaultdict[int, _Signed]:
    """Return them by site."""
    found: defaultdict[int, _Signed] = defaultdict(lambda: _Signed([], []))
    for case in signed_cases(db, actor, month(period, days.zone_of(db))):
        if case.severity >= 0:
            found[case.site][case.severity > 0].append(case.case)
    return found


def _drawn_of(db: Session, period: str, site: int) -> list[_Case]:
    severities = severity_by_category()
    found = db.execute(
        select(Case.id, Case.specimen, Reading.category, QualityDraw.reading_id)
        .select_from(QualityDraw)
        .join(Case, Case.id == QualityDraw.case_id)
        .join(Reading, Reading.id == standing_reading())
        .where(QualityDraw.period == period, Case.site_id == site)
    )
    return [
        _Case(case, severities.get((specimen, category), -1) > 0, reading is not None)
        for case, specimen, category, reading in found
    ]


def _state(db: Session, site: Site, period: str, signed: _Signed, new: int) -> Drawn:
    drawn = _drawn_of(db, period, site.id)
    percent = percent_of(db, site.id)
    target = wanted(len(signed.clear), percent)
    return Drawn(
        site=site.id,
        code=site.code,
        name=site.name,
        period=period,
        cleared=len(signed.clear),
        percent=percent,
        target=target,
        drawn=sum(not case.abnormal for case in drawn),
        read=sum(case.read and not case.abnormal for case in drawn),
        new=new,
        abnormal=len(signed.abnormal),
        mixed_target=mixed_in(target, len(signed.abnormal)),
        mixed=sum(case.abnormal for case in drawn),
        mixed_read=sum(case.read and case.abnormal for case in drawn),
    )


def _sites(db: Session, actor: Actor) -> list[Site]:
    sites = list(db.scalars(select(Site).where(at_sites(actor, Site.id)).order_by(Site.code)))
    if not sites:
        raise NotFound("The account belongs to no site.", fix="ask the administrator.")
    return sites


def _choice(site: int) -> str:
    return f"quality sample of site {site}"
