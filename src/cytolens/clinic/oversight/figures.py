"""Volumes, turnaround and class mix of a period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.oversight.period import Period, at_sites, begin
from cytolens.clinic.oversight.signed import Signed, signed_cases
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case
from cytolens.clinic.tables.cases import UNSIGNED
from cytolens.clinic.vocabulary import vocabularies

AGES = (1, 3, 7, 14)  # days: the limits of the ages of open cases


@dataclass(frozen=True)
class Volume:
    """What came and went in a step, or of a specimen type: cases, and images of received ones."""

    received: int
    signed: int
    images: int


@dataclass(frozen=True)
class Turnaround:
    """Hours from received to the first signature, of `n` cases; None without one."""

    n: int
    median: float | None
    ninth: float | None  # 90th percentile


@dataclass(frozen=True)
class Share:
    """How many signed cases have a category."""

    category: str
    severity: int
    count: int
    share: float


@dataclass(frozen=True)
class Figures:
    """What happened in a period.

    Attributes:
        steps: first days, as `volumes` and `turnarounds` are in order.
        open_ages: open cases now, by age: up to 1, 3, 7, 14 days, and older.
        oldest: when the oldest open case was received.
        classes: of each specimen type with signed cases, every category of its vocabulary.
        signed: the cases, for `agreement`.
    """

    period: Period
    by: str
    specimen: str
    steps: list[date]
    volumes: list[Volume]
    total: Volume
    specimens: dict[str, Volume]
    turnaround: Turnaround
    turnarounds: list[Turnaround]
    by_specimen: dict[str, Turnaround]
    open_ages: list[int]
    oldest: datetime | None
    classes: dict[str, list[Share]]
    signed: list[Signed]


def figures(
    db: Session, actor: Actor, period: Period, by: str = "week", specimen: str = ""
) -> Figures:
    """Return the figures of the account's sites.

    Args:
        by: "day", "week" or "month".
        specimen: code of a specimen type; "": all.

    Raises:
        Refused: no such step, or too many of them.
    """
    actor.must(Action.READ_FIGURES)
    steps = period.steps(by)
    signed = signed_cases(db, actor, period, specimen)
    received = _received(db, actor, period, specimen)
    open_ages, oldest = _open(db, actor, specimen)
    kinds = sorted({row[1] for row in received} | {case.specimen for case in signed})
    of_step: dict[date, list[Signed]] = {step: [] for step in steps}
    for case in signed:
        of_step[begin(period.day(case.signed_at), by)].append(case)
    return Figures(
        period=period,
        by=by,
        specimen=specimen,
        steps=steps,
        volumes=_volumes(received, of_step, by),
        total=Volume(len(received), len(signed), sum(row[2] for row in received)),
        specimens={
            kind: Volume(
                sum(row[1] == kind for row in received),
                sum(case.specimen == kind for case in signed),
                sum(row[2] for row in received if row[1] == kind),
            )
            for kind in kinds
        },
        turnaround=turnaround(signed),
        turnarounds=[turnaround(cases) for cases in of_step.values()],
        by_specimen={
            kind: turnaround(case for case in signed if case.specimen == kind) for kind in kinds
        },
        open_ages=open_ages,
        oldest=oldest,
        classes=class_mix(signed),
        signed=signed,
    )


def turnaround(cases: Iterable[Signed]) -> Turnaround:
    """Return median and 90th percentile (linear between cases) of the hours to sign."""
    hours = [case.hours for case in cases]
    if not hours:
        return Turnaround(0, None, None)
    median, ninth = np.percentile(hours, [50, 90])
    return Turnaround(len(hours), float(median), float(ninth))


def class_mix(signed: Sequence[Signed]) -> dict[str, list[Share]]:
    """Return how many cases have each category, by specimen type; of unknown codes, too."""
    counts: dict[str, Counter[str]] = {}
    for case in signed:
        counts.setdefault(case.specimen, Counter())[case.category] += 1
    mixed = {}
    for specimen, counted in sorted(counts.items()):
        known = vocabularies()[specimen].categories if specimen in vocabularies() else ()
        codes = [(category.code, category.severity) for category in known]
        codes += [(code, -1) for code in sorted(counted.keys() - {code for code, _ in codes})]
        total = counted.total()
        mixed[specimen] = [Share(c, s, counted[c], counted[c] / total) for c, s in codes]
    return mixed


def _received(
    db: Session, actor: Actor, period: Period, specimen: str
) -> list[tuple[date, str, int]]:
    """Return day, specimen type and number of images of each case received in the period."""
    asked = select(Case.received_at, Case.specimen, Case.images_count).where(
        at_sites(actor), Case.received_at >= period.start, Case.received_at < period.end
    )
    if specimen:
        asked = asked.where(Case.specimen == specimen)
    return [(period.day(at), kind, images) for at, kind, images in db.execute(asked)]


def _volumes(
    received: Sequence[tuple[date, str, int]], of_step: dict[date, list[Signed]], by: str
) -> list[Volume]:
    cases, images = Counter[date](), Counter[date]()
    for day, _, count in received:
        cases[begin(day, by)] += 1
        images[begin(day, by)] += count
    return [Volume(cases[step], len(of_step[step]), images[step]) for step in of_step]


def _open(db: Session, actor: Actor, specimen: str) -> tuple[list[int], datetime | None]:
    asked = select(Case.received_at).where(at_sites(actor), Case.status.in_(UNSIGNED))
    if specimen:
        asked = asked.where(Case.specimen == specimen)
    received = list(db.scalars(asked))
    days = [(clock.now() - at).total_seconds() / 86400 for at in received]
    places = np.searchsorted(AGES, days, side="left")  # [n], 0…len(AGES)
    counts = np.bincount(places.astype(np.int64), minlength=len(AGES) + 1)
    return counts.tolist(), min(received, default=None)
