"""Figures, agreement, drift and the quality sample: asked and answered."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from cytolens.clinic.oversight.quality import LEAST_PERCENT
from cytolens.clinic.web.api.models.shared import Answer, Asked, Month


class Volume(Answer):
    """What came and went: cases, and images of received ones."""

    received: int
    signed: int
    images: int


class Turnaround(Answer):
    """Hours from received to the first signature, of `n` cases."""

    n: int
    median: float | None
    ninth: float | None = Field(description="The 90th percentile.")


class Share(Answer):
    """How many signed cases have a category."""

    category: str
    severity: int
    count: int
    share: float


class Figures(Answer):
    """What happened in a period at the account's sites."""

    at: datetime = Field(description="When they were worked out.")
    first: date = Field(description="First day of the period.")
    last: date = Field(description="Last day of it.")
    by: str
    specimen: str
    steps: list[date] = Field(description="First days, as `volumes` and `turnarounds` in order.")
    volumes: list[Volume]
    total: Volume
    specimens: dict[str, Volume]
    turnaround: Turnaround
    turnarounds: list[Turnaround]
    by_specimen: dict[str, Turnaround]
    open_ages: list[int] = Field(
        description="Open cases now, by age: up to 1, 3, 7, 14 days, and older."
    )
    oldest: datetime | None = Field(description="When the oldest open case was received.")
    classes: dict[str, list[Share]]


class Kappa(Answer):
    """Cohen's kappa of clear against abnormal, with its 95 % interval over patients."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    agreed: int


class Override(Answer):
    """A case in which the doctor upgraded or downgraded the system's decision."""

    case: int
    accession: str
    specimen: str
    signed_at: datetime
    category: str
    verdict: str
    decision: str | None
    doctor: str


class DoctorFigures(Answer):
    """What a doctor signed in the period."""

    username: str
    signed: int
    verdicts: dict[str, int]
    turnaround: Turnaround


class Agreement(Answer):
    """How doctors and the system agree."""

    at: datetime = Field(description="When it was worked out.")
    n: int
    kappa: Kappa = Field(description="Over all readings; most of them saw the finding.")
    blind: Kappa = Field(description="Over readings entered before the finding was shown.")
    confusion: list[list[int]] = Field(
        description="Rows: clear, abnormal, refer, none of the system; columns: clear, abnormal, "
        "none of the doctors."
    )
    verdicts: dict[str, int]
    overrides: list[Override]
    overridden: int
    doctors: list[DoctorFigures]


class Week(Answer):
    """Findings of a bundle in a week."""

    start: date
    images: int
    cases: int
    out: float | None
    strangeness: float | None
    referred: float
    unusable: float
    risk: float | None
    psi: float | None


class BundleDrift(Answer):
    """How a bundle's findings of a period stand to its first ones."""

    bundle: str
    name: str
    version: str
    specimen: str
    status: str
    weeks: list[Week]
    reference: int = Field(description="Images of its first findings.")
    reference_cases: int
    images: int = Field(description="Of the period, without those of the reference.")
    cases: int
    psi: float | None = Field(description="Population stability index of the risks.")
    psi_noise: float | None = Field(description="What it stays below by chance, in 99 of 100.")
    ks: float | None = Field(description="Kolmogorov–Smirnov distance of the risks.")
    ks_noise: float | None
    scores: str = Field(description="few, stable, watch or shifted.")
    out: float | None = Field(description="Share of images unlike those of training.")
    out_low: float | None
    out_high: float | None
    expected_out: float | None
    expected_by: str
    inputs: str = Field(description="unknown, few, stable or shifted.")
    before: list[float] = Field(description="Shares of images by risk, ten bins of 0…1.")
    now: list[float]


class Drift(Answer):
    """The drift of each bundle, as it was at a moment."""

    at: datetime
    drifts: list[BundleDrift]


class Sample(Answer):
    """A laboratory's quality sample of a month."""

    site: int
    code: str
    name: str
    period: str
    cleared: int = Field(description="Cases first signed in the month whose reading is clear.")
    percent: int = Field(description="Of them that are to be drawn.")
    target: int
    drawn: int
    read: int
    new: int = Field(description="Drawn by this call, of both kinds.")
    abnormal: int = Field(description="Cases first signed in the month as abnormal.")
    mixed_target: int = Field(description="Of them that are to be mixed in.")
    mixed: int
    mixed_read: int


class Missed(Answer):
    """A drawn case whose second reading says abnormal."""

    case: int
    accession: str
    period: str
    specimen: str
    first: str
    first_doctor: str
    second: str
    second_doctor: str
    severity: int


class Mixed(Answer):
    """What the second readings of the abnormal cases that are mixed in came to."""

    drawn: int
    read: int
    said: int = Field(description="Second readings that say clear or abnormal.")
    cleared: int = Field(description="Of `said`, those that say clear.")
    share: float | None
    low: float
    high: float
    same: int = Field(description="Of `read`, those with the very same category.")


class Results(Answer):
    """What the second readings of a year came to; `drawn` to `cases` of cleared cases alone."""

    drawn: int
    read: int
    said: int = Field(description="Second readings that say clear or abnormal.")
    missed: int = Field(description="Of `said`, those that say abnormal.")
    share: float | None
    low: float
    high: float
    same: int = Field(description="Of `read`, those with the very same category.")
    cases: list[Missed]
    mixed: Mixed


class QualityControl(Answer):
    """A month's quality sample, and what the second readings of the year to it came to."""

    period: str
    samples: list[Sample]
    results: Results


class DrawnMonth(Asked):
    """The month that a sample is drawn of."""

    period: Month


class DrawnShare(Asked):
    """Which share of cleared cases is drawn, in a hundred."""

    percent: int = Field(ge=LEAST_PERCENT, le=100)
