"""How doctors and the system agree. A doctor who saw the finding is not independent of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.oversight.figures import Turnaround, turnaround
from cytolens.clinic.oversight.period import Period
from cytolens.clinic.oversight.signed import Signed, signed_cases
from cytolens.clinic.rights import Action
from cytolens.core.seeding import rng
from cytolens.evaluation import percentile_interval
from cytolens.evaluation.counts import count_scores

DECISIONS = ("clear", "abnormal", "refer", "none")
KINDS = ("clear", "abnormal", "none")
OVERRIDES = 200
_RESAMPLES = 1000


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa of clear against abnormal, with its 95 % interval over patients.

    Attributes:
        value: None where it is not defined: no case, or the doctors found one class alone.
        n: cases with a decision and a category that both say clear or abnormal.
        agreed: how many of them are the same.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    agreed: int


@dataclass(frozen=True)
class Doctor:
    """What a doctor signed in the period."""

    username: str
    signed: int
    verdicts: dict[str, int]
    turnaround: Turnaround


@dataclass(frozen=True)
class Agreement:
    """How doctors and the system agree.

    Attributes:
        kappa: over all readings; the finding was seen in most of them, so it flatters.
        blind: over readings that were entered before the finding was shown.
        confusion: counts, rows `DECISIONS` of the system, columns `KINDS` of the doctors.
        overrides: the latest cases in which the doctor upgraded or downgraded.
    """

    n: int
    kappa: Kappa
    blind: Kappa
    confusion: list[list[int]]
    verdicts: dict[str, int]
    overrides: list[Signed]
    overridden: int
    doctors: list[Doctor]


def agreement(db: Session, actor: Actor, period: Period, specimen: str = "") -> Agreement:
    """Return the agreement in cases of the account's sites that were signed in a period."""
    actor.must(Action.READ_FIGURES)
    return agreement_of(signed_cases(db, actor, period, specimen))


def agreement_of(signed: Sequence[Signed]) -> Agreement:
    """Return the agreement of these cases."""
    pairs = Counter((case.decision or "none", case.kind) for case in signed)
    overrides = [case for case in signed if case.verdict in ("upgrade", "downgrade")]
    by_doctor: dict[str, list[Signed]] = {}
    for case in signed:
        by_doctor.setdefault(case.doctor, []).append(case)
    return Agreement(
        n=len(signed),
        kappa=_kappa_of(signed),
        blind=_kappa_of(case for case in signed if case.blind),
        confusion=[[pairs[decision, kind] for kind in KINDS] for decision in DECISIONS],
        verdicts=_verdicts(signed),
        overrides=sorted(overrides, key=lambda c: (c.signed_at, c.case), reverse=True)[:OVERRIDES],
        overridden=len(overrides),
        doctors=[
            Doctor(name, len(cases), _verdicts(cases), turnaround(cases))
            for name, cases in sorted(by_doctor.items())
        ],
    )


def kappa(doctor: ArrayLike, system: ArrayLike, units: ArrayLike, seed: int = 0) -> Kappa:
    """Return Cohen's kappa (1960) of two classes with a bootstrap interval over units.

    Patients with the same table of cases are alike, so that drawing patients with replacement is
    drawing from a multinomial distribution over the different tables.

    Args:
        doctor, system: bool [n]: abnormal.
        units: int [n], what is drawn as a whole: the patient.
    """
    truth, said = np.asarray(doctor, np.int64), np.asarray(system, np.int64)
    n = len(truth)
    if n == 0:
        return Kappa(None, None, None, 0, 0)
    names, place = np.unique(np.asarray(units), return_inverse=True)
    cells = np.bincount(place * 4 + truth * 2 + said, minlength=4 * len(names))
    tables, counts = np.unique(cells.reshape(-1, 4), axis=0, return_counts=True)  # [t, 4], [t]
    [whole] = _kappas(cells.reshape(-1, 4).sum(axis=0)[None])
    value = None if np.isnan(whole) else float(whole)
    low = high = None
    if value is not None and len(names) > 1:
        drawn = rng(seed, "bootstrap").multinomial(
            len(names), counts / len(names), size=_RESAMPLES
        )  # [resamples, t]
        low, high = percentile_interval(value, _kappas(drawn @ tables))
    return Kappa(value, low, high, n, int((truth == said).sum()))


def _kappas(tables: np.ndarray) -> np.ndarray:
    """Return kappa of each table [m, 4], rows of it the doctor's class; NaN where undefined."""
    square = tables.reshape(-1, 2, 2).astype(np.float64)
    return count_scores(square, np.array([True, True])).overall["kappa"]


def _kappa_of(cases: Iterable[Signed]) -> Kappa:
    said = ("clear", "abnormal")
    usable = [case for case in cases if case.decision in said and case.kind in said]
    return kappa(
        [case.kind == "abnormal" for case in usable],
        [case.decision == "abnormal" for case in usable],
        [case.patient for case in usable],
    )


def _verdicts(cases: Sequence[Signed]) -> dict[str, int]:
    counted = Counter(case.verdict for case in cases)
    return {name: counted[name] for name in ("agree", "upgrade", "downgrade", "inconclusive")}
