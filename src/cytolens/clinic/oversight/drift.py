"""Whether images and scores of a bundle are still what they were when its use began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Integer, Select, cast, extract, func, select
from sqlalchemy.orm import Session

from cytolens.clinic import days
from cytolens.clinic.actor import Actor
from cytolens.clinic.oversight.period import Period, at_sites, begin
from cytolens.clinic.oversight.stability import SHIFTED, WATCH, ks, ks_noise, psi, psi_noise
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Finding, Image, Model
from cytolens.evaluation import wilson

FIRST = 500  # findings of a bundle that later ones are compared with
LEAST_CASES = 30
RISK_BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Week:
    """Findings of a bundle in a week (from Monday).

    Attributes:
        out: share of images unlike those of training, of those the bundle can tell of.
        strangeness: median; above 1 an image is unlike those of training.
        referred: share of images; `unusable`: of images that could not be used.
        psi: of the risks against the reference.
    """

    start: date
    images: int
    cases: int
    out: float | None
    strangeness: float | None
    referred: float
    unusable: float
    risk: float | None
    psi: float | None


@dataclass(frozen=True)
class BundleDrift:
    """How a bundle's findings of a period stand to its first ones.

    Attributes:
        reference, reference_cases: images and cases of its first findings.
        images, cases: of the period's, without those of the reference.
        psi, ks: of the risks; `psi_noise`, `ks_noise`: what they stay below by chance in 99 of 100,
            counted in cases, because images of a case resemble one another.
        scores: "few", "stable", "watch" or "shifted".
        out, out_low, out_high: share of images unlike training, with its interval over cases.
        expected_out: the most that was to be expected: of the bundle's own statistics (the upper
            end of their interval), else of the reference. None: the bundle cannot tell.
        expected_by: "bundle" or "reference".
        inputs: "unknown", "few", "stable" or "shifted".
        before, now: shares of images by risk, ten bins of 0…1.
    """

    bundle: str
    name: str
    version: str
    specimen: str
    status: str
    weeks: list[Week]
    reference: int
    reference_cases: int
    images: int
    cases: int
    psi: float | None
    psi_noise: float | None
    ks: float | None
    ks_noise: float | None
    scores: str
    out: float | None
    out_low: float | None
    out_high: float | None
    expected_out: float | None
    expected_by: str
    inputs: str
    before: list[float]
    now: list[float]


@dataclass(frozen=True)
class _Rows:
    """Findings as columns [n]."""

    ids: NDArray[np.int64]
    model: NDArray[np.int64]
    second: NDArray[np.int64]  # since 1970
    case: NDArray[np.int64]
    risk: Floats
    strangeness: Floats  # NaN: cannot tell
    referred: NDArray[np.bool_]
    unusable: NDArray[np.bool_]

    def take(self, which: NDArray[np.bool_]) -> _Rows:
        return _Rows(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def scored(self) -> _Rows:
        """Those of images that could be used."""
        return self.take(~self.unusable)

    @property
    def cases(self) -> int:
        return len(np.unique(self.case))

    def __len__(self) -> int:
        return len(self.ids)


def drift(db: Session, actor: Actor, period: Period) -> list[BundleDrift]:
    """Return the drift of each bundle that made findings at the account's sites in a period."""
    actor.must(Action.READ_FIGURES)
    columns = _columns(db)
    asked = _findings(actor, columns).where(
        Finding.created_at >= period.start, Finding.created_at < period.end
    )
    found = _rows(db, asked)
    drifts = []
    for model_id in np.unique(found.model)[::-1].tolist():
        first = (
            _findings(actor, columns)
            .where(Finding.model_id == model_id, Finding.problem == "")
            .order_by(Finding.id)
            .limit(FIRST)
        )
        model = db.get_one(Model, model_id)
        rows = found.take(found.model == model_id)
        drifts.append(_drift_of(model, rows, _rows(db, first), period.zone))
    return sorted(drifts, key=lambda d: (d.status != "active", d.specimen))


def judge_scores(
    index: float, noise: float, distance: float, distance_noise: float, cases: int
) -> str:
    """Return "few", "stable", "watch" or "shifted" for a shift of scores beyond its noise."""
    if cases < LEAST_CASES:
        return "few"
    if index >= SHIFTED and index > noise:
        return "shifted"
    if (index >= WATCH and index > noise) or (distance >= WATCH and distance > distance_noise):
        return "watch"
    return "stable"


def _drift_of(model: Model, rows: _Rows, reference: _Rows, zone: tzinfo) -> BundleDrift:
    known = rows.scored
    later = known.take(~np.isin(known.ids, reference.ids))
    few = min(later.cases, reference.cases)
    index = distance = noise = distance_noise = None
    scores = "few"
    if len(later) and len(reference):
        index, distance = psi(reference.risk, later.risk), ks(reference.risk, later.risk)
        noise = psi_noise(reference.cases, later.cases)
        distance_noise = ks_noise(reference.cases, later.cases)
        scores = judge_scores(index, noise, distance, distance_noise, few)
    out = _out(later)
    low, high = (None, None) if out is None else wilson(round(out * later.cases), later.cases)
    expected, by = _expected_out(model, reference)
    inputs = "unknown" if out is None or expected is None else "few"
    if low is not None and expected is not None and later.cases >= LEAST_CASES:
        inputs = "shifted" if low > expected else "stable"
    return BundleDrift(
        bundle=model.bundle,
        name=model.name,
        version=model.version,
        specimen=model.specimen,
        status=model.status,
        weeks=_weeks(rows, reference, zone),
        reference=len(reference),
        reference_cases=reference.cases,
        images=len(later),
        cases=later.cases,
        psi=index,
        psi_noise=noise,
        ks=distance,
        ks_noise=distance_noise,
        scores=scores,
        out=out,
        out_low=low,
        out_high=high,
        expected_out=expected,
        expected_by=by,
        inputs=inputs,
        before=_histogram(reference.risk),
        now=_histogram(later.risk),
    )


def _expected_out(model: Model, reference: _Rows) -> tuple[float | None, str]:
    """Return the largest share of strange images that is usual, and who says so."""
    accepts = (model.card.get("ood") or {}).get("accepts")
    if accepts is not None:
        return 1 - float(accepts["low"]), "bundle"
    share = _out(reference)
    if share is None:
        return None, "reference"
    return wilson(round(share * reference.cases), reference.cases)[1], "reference"


def _weeks(rows: _Rows, reference: _Rows, zone: tzinfo) -> list[Week]:
    ends = (datetime.fromtimestamp(int(of), UTC) for of in (rows.second.min(), rows.second.max()))
    first, last = (begin(days.day_of(end, zone), "week") for end in ends)
    mondays = [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]
    edges = np.array([days.start(monday, zone).timestamp() for monday in mondays])  # [weeks]
    places = np.searchsorted(edges, rows.second, side="right") - 1  # [n], 0…weeks - 1
    weeks = []
    for place in np.unique(places).tolist():
        week = rows.take(places == place)
        scored = week.scored
        told = scored.strangeness[~np.isnan(scored.strangeness)]
        weeks.append(
            Week(
                start=mondays[place],
                images=len(week),
                cases=week.cases,
                out=_out(scored),
                strangeness=float(np.median(told)) if len(told) else None,
                referred=float(week.referred.mean()),
                unusable=float(week.unusable.mean()),
                risk=float(np.median(scored.risk)) if len(scored) else None,
                psi=psi(reference.risk, scored.risk) if len(scored) and len(reference) else None,
            )
        )
    return weeks


def _out(rows: _Rows) -> float | None:
    told = rows.strangeness[~np.isnan(rows.strangeness)]
    return float((told > 1).mean()) if len(told) else None


def _histogram(risks: Floats) -> list[float]:
    counts, _ = np.histogram(risks, bins=RISK_BINS, range=(0, 1))
    shares: list[float] = (counts / max(1, len(risks))).tolist()
    return shares


def _columns(db: Session) -> tuple[Any, ...]:
    """Return id, bundle, second since 1970, case, risk, strangeness, referred, unusable."""
    if db.get_bind().dialect.name == "sqlite":
        seconds: ColumnElement[Any] = cast(func.strftime("%s", Finding.created_at), Integer)
    else:
        seconds = cast(func.floor(extract("epoch", Finding.created_at)), Integer)
    return (
        Finding.id,
        Finding.model_id,
        seconds,
        Image.case_id,
        Finding.risk,
        Finding.strangeness,
        Finding.decision == "refer",
        Finding.problem != "",
    )


def _findings(actor: Actor, columns: tuple[Any, ...]) -> Select[Any]:
    return (
        select(*columns)
        .join(Image, Image.id == Finding.image_id)
        .join(Case, Case.id == Image.case_id)
        .where(at_sites(actor))
    )


def _rows(db: Session, asked: Select[Any]) -> _Rows:
    """Fetch findings as columns, past SQLAlchemy's rows: there may be a hundred thousand."""
    fetched = db.connection().execute(asked).cursor.fetchall()
    table = np.array(fetched, np.float64).reshape(-1, 8)  # None becomes NaN
    whole = np.nan_to_num(table[:, :4]).astype(np.int64)
    flags = np.nan_to_num(table[:, 6:]) != 0
    return _Rows(
        ids=whole[:, 0],
        model=whole[:, 1],
        second=whole[:, 2],
        case=whole[:, 3],
        risk=table[:, 4],
        strangeness=table[:, 5],
        referred=flags[:, 0],
        unusable=flags[:, 1],
    )
