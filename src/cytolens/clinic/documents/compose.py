"""A report's content from what the database holds of a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cytolens.bundle.model_card.words import at, defined, table, texts
from cytolens.clinic import days, tables
from cytolens.clinic.documents.changes import changes
from cytolens.clinic.documents.content import (
    Diagnosis,
    Doctor,
    Explained,
    Laboratory,
    Model,
    Person,
    Picture,
    Quality,
    ReportContent,
    Sample,
    Score,
    System,
    Word,
)
from cytolens.clinic.documents.translation import LANGUAGES
from cytolens.clinic.tables import Case, Finding, Image, Overlay, Patient, Reading, User
from cytolens.clinic.vocabulary import vocabulary

SHOWN = 4  # pictures
_MODEL_FILE = "model.safetensors"
SCORES = {  # of a bundle's card
    "metrics.accuracy": "Accuracy",
    "metrics.balanced_accuracy": "Balanced accuracy",
    "metrics.macro_f1": "Macro F1",
    "metrics.auc": "AUC, one class against the rest",
    "conformal.results.coverage": "Coverage of the sets of classes",
}


def compose(
    db: Session,
    case: Case,
    reading: Reading,
    doctor: User,
    *,
    status: str,
    version: int,
    at: datetime,
    language: str,
    region: str = "",
    before: ReportContent | None = None,
    reason: str = "",
) -> ReportContent:
    """Return what a version of a case's report says.

    Args:
        reading: whose category is the diagnosis.
        doctor: who signs, or drafts.
        at: when; the time of the signature unless `status` is "preliminary".
        language: of the document; English where it has none; region: of the laboratory.
        before: the version before, to tell what changed.
    """
    words = vocabulary(case.specimen)
    category = words.category(reading.category)
    terms = {term.code: Word(term.code, term.name) for term in words.adequacy + words.indicators}
    zone = days.zone_of(db)
    now = days.here(at, zone).isoformat()
    used = db.scalars(
        select(tables.Model)
        .where(tables.Model.id.in_(select(Finding.model_id).join(Image).where(_of(case))))
        .order_by(tables.Model.id)
    )
    content = ReportContent(
        laboratory=Laboratory(case.site.code, case.site.name),
        patient=person(case.patient),
        specimen=Sample(
            kind=Word(words.code, words.name),
            tissue=words.tissue,
            accession=case.accession,
            received_at=days.here(case.received_at, zone).isoformat(),
            opened_at=case.created_at.astimezone(UTC).isoformat(),
            collected_on=_day(case.collected_on),
            clinical=case.clinical,
        ),
        quality=Quality(
            adequacy=terms[case.adequacy] if case.adequacy else None,
            indicators=tuple(terms[code] for code in case.indicators),
            note=case.quality_note,
        ),
        diagnosis=Diagnosis(
            reading=reading.id,
            category=Word(category.code, category.name),
            verdict=reading.verdict,
            blind=reading.blind,
            entered_at=days.here(reading.created_at, zone).isoformat(),
            comment=reading.comment,
            decision=reading.decision or "",
        ),
        system=_system(db, case),
        doctor=Doctor(doctor.username, doctor.name, "" if status == "preliminary" else now),
        status=status,
        version=version,
        created_at=now,
        language=language if language in LANGUAGES else "en",
        region=region,
        pictures=_pictures(db, case),
        models=tuple(map(_model, used)),
        reason=reason,
        before="" if before is None else before.sha256,
    )
    return content if before is None else replace(content, changes=changes(before, content))


def person(patient: Patient) -> Person:
    """Return a patient as the report names it."""
    return Person(
        number=patient.number,
        family_name=patient.family_name,
        given_name=patient.given_name,
        birth_date=_day(patient.birth_date),
        sex=patient.sex,
    )


def _of(case: Case) -> Any:
    return Image.case_id == case.id


def _day(value: date | None) -> str:
    return "" if value is None else value.isoformat()


def _system(db: Session, case: Case) -> System:
    counted = db.execute(
        select(Finding.decision, func.count())
        .select_from(Image)
        .join(Finding)
        .where(_of(case))
        .group_by(Finding.decision)
    )
    counts: dict[str | None, int] = {row[0]: row[1] for row in counted}
    images = db.scalar(select(func.count()).select_from(Image).where(_of(case))) or 0
    return System(
        images=images,
        decision=case.decision or "",
        risk=case.risk,
        clear=counts.get("clear", 0),
        abnormal=counts.get("abnormal", 0),
        refer=counts.get("refer", 0),
        undecided=counts.get(None, 0),
        pending=images - sum(counts.values()),
    )


def _pictures(db: Session, case: Case) -> tuple[Picture, ...]:
    """Return the images of the highest risk that are still kept."""
    shown = db.execute(
        select(Image, Finding)
        .join(Finding)
        .where(_of(case), Image.removed_at.is_(None))
        .order_by(Finding.risk.desc(), Image.id)
        .limit(SHOWN)
    ).all()
    found: dict[int, list[Overlay]] = {image.id: [] for image, _ in shown}
    for overlay in db.scalars(
        select(Overlay).where(Overlay.image_id.in_(found)).order_by(Overlay.id)
    ):
        found[overlay.image_id].append(overlay)
    return tuple(_picture(image, finding, found[image.id]) for image, finding in shown)


def _picture(image: Image, finding: Finding, overlays: list[Overlay]) -> Picture:
    # The first explanation that was asked for; one with a warning only where there is no other.
    chosen = min(overlays, key=lambda one: (bool(one.notes), one.id), default=None)
    return Picture(
        image=image.id,
        sha256=image.sha256,
        name=image.name,
        width=image.width,
        height=image.height,
        bundle=finding.model.bundle,
        risk=finding.risk,
        label=finding.label or "",
        probability=finding.probabilities.get(finding.label) if finding.label else None,
        inside=tuple(finding.inside),
        level=finding.level,
        decision=finding.decision or "",
        reasons=tuple(finding.reasons),
        problem=finding.problem,
        overlay=None
        if chosen is None
        else Explained(chosen.overlay, chosen.method, chosen.target, tuple(chosen.notes)),
    )


def _model(model: tables.Model) -> Model:
    card: Mapping[str, Any] = model.card
    scores = tuple(
        Score(title, value, defined(at(row, "low")), defined(at(row, "high")))
        for key, title in SCORES.items()
        if (value := defined(at(row := at(card, key), "value"))) is not None
    )
    images, groups = at(card, "metrics.n"), at(card, "metrics.interval.units")
    return Model(
        bundle=model.bundle,
        name=model.name,
        version=model.version,
        weights=str(table(card, "files").get(_MODEL_FILE, "")),
        classes=texts(card, "classes"),
        abnormal=texts(card, "decision.abnormal"),
        calibrated=at(card, "calibration.method") not in (None, "none"),
        level=defined(at(card, "conformal.level")),
        data=str(at(card, "provenance.data") or ""),
        protocol=str(at(card, "metrics.protocol") or at(card, "provenance.protocol") or ""),
        images=images if isinstance(images, int) and scores else None,
        groups=groups if isinstance(groups, int) else None,
        unit=str(at(card, "metrics.interval.unit") or ""),
        level_scores=defined(at(card, "metrics.interval.level")),
        scores=scores,
        leaks=texts(card, "metrics.leaks"),
        notes=texts(card, "provenance.notes"),
    )
