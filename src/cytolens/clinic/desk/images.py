"""The images of a case with their findings, or bare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import Session, joinedload

from cytolens.clinic.tables import Finding, Image, Job, Model

LAST = -1.0  # the rank of an image without a finding


@dataclass(frozen=True)
class BundleView:
    """The bundle that made a finding; `id`: 12 hex digits."""

    id: str
    name: str
    version: str


@dataclass(frozen=True)
class ExampleView:
    """A training image of the bundle near to an image; see `bundle.prediction.NearExample`.

    Attributes:
        image: id of the image whose finding it stands with.
    """

    image: int
    number: int
    label: str
    distance: float


@dataclass(frozen=True)
class FindingView:
    """What a bundle says of an image; see `tables.Finding`. Never a diagnosis.

    Attributes:
        probabilities: pairs of class and calibrated probability, the largest first.
        outside: the image lies outside what the bundle was made for; None: it cannot tell.
        examples: the nearest training images, the nearest first; empty where the bundle carries
            none.
    """

    label: str | None
    probabilities: tuple[tuple[str, float], ...]
    inside: tuple[str, ...]
    level: float | None
    decision: str | None
    reasons: tuple[str, ...]
    strangeness: float | None
    outside: bool | None
    examples: tuple[ExampleView, ...]
    risk: float
    problem: str
    created_at: datetime
    bundle: BundleView


@dataclass(frozen=True)
class ImageView:
    """An image of a case.

    Attributes:
        state: "clear", "abnormal", "refer", "found" (the bundle decides nothing), "unusable",
            "waiting", "failed", or "hidden" (its finding may not be shown to this account).
        problem: why it failed or could not be used, or "".
        removed: the picture is no longer kept (retention); its finding is.
    """

    id: int
    name: str
    width: int
    height: int
    state: str
    problem: str
    removed: bool
    finding: FindingView | None


def by_name(db: Session, case_id: int, only: int | None = None) -> tuple[ImageView, ...]:
    """Return the images by name, and nothing that a finding could be read from; see `by_risk`."""
    found = db.execute(
        select(Image.id, Image.name, Image.width, Image.height, Image.removed_at)
        .where(Image.case_id == case_id, _wanted(only))
        .order_by(Image.name, Image.id)
    )
    return tuple(
        ImageView(key, name, width, height, "hidden", "", removed is not None, None)
        for key, name, width, height, removed in found
    )


def by_risk(db: Session, case_id: int, only: int | None = None) -> tuple[ImageView, ...]:
    """Return the images with their findings: by risk, then failed ones, then waiting ones.

    Args:
        only: id of the one that is wanted; None: all of the case.
    """
    found = db.execute(
        select(
            Image.id,
            Image.name,
            Image.width,
            Image.height,
            Image.removed_at.is_not(None),
            Job.state,
            Job.problem,
            Finding,
        )
        .outerjoin(Finding, Finding.image_id == Image.id)
        .outerjoin(Job, and_(Job.image_id == Image.id, Job.kind == "finding", Job.method == ""))
        .options(
            joinedload(Finding.model, innerjoin=False).load_only(
                Model.bundle, Model.name, Model.version
            )
        )
        .where(Image.case_id == case_id, _wanted(only))
    )
    return tuple(sorted((_image(*row) for row in found), key=_place))


def _wanted(only: int | None) -> ColumnElement[bool]:
    return true() if only is None else Image.id == only


def _place(image: ImageView) -> tuple[float, bool, str, int]:
    risk = LAST if image.finding is None else image.finding.risk
    return -risk, image.state != "failed", image.name, image.id


def _image(
    key: int,
    name: str,
    width: int,
    height: int,
    removed: bool,
    job: str | None,
    said: str | None,
    finding: Finding | None,
) -> ImageView:
    shown = None if finding is None else _finding(finding)
    problem = ""
    if shown is not None:
        state, problem = shown.decision or "found", shown.problem
        if problem:
            state = "unusable"
    elif job == "failed":
        state, problem = "failed", said or ""
    else:
        state = "waiting"
    return ImageView(key, name, width, height, state, problem, removed, shown)


def _finding(finding: Finding) -> FindingView:
    ordered = sorted(finding.probabilities.items(), key=lambda pair: (-pair[1], pair[0]))
    strange = finding.strangeness
    return FindingView(
        label=finding.label,
        probabilities=tuple(ordered),
        inside=tuple(finding.inside),
        level=finding.level,
        decision=finding.decision,
        reasons=tuple(finding.reasons),
        strangeness=strange,
        outside=None if strange is None else strange > 1,
        examples=tuple(ExampleView(finding.image_id, **near) for near in finding.examples),
        risk=finding.risk,
        problem=finding.problem,
        created_at=finding.created_at,
        bundle=BundleView(finding.model.bundle, finding.model.name, finding.model.version),
    )
