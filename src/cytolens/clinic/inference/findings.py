"""Findings: what a bundle said of images, written once and for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from cytolens.bundle import BundleCard, Prediction
from cytolens.bundle.prediction import unusable
from cytolens.clinic import clock, trail
from cytolens.clinic.actor import system
from cytolens.clinic.inference import queue
from cytolens.clinic.inference.queue import Taken
from cytolens.clinic.tables import Case, Finding

_WORST = ("clear", "abnormal", "refer")  # of a case's images the last of these counts


def risk(prediction: Prediction, abnormal: Sequence[str] | None) -> float:
    """Return what the worklist is ranked by, 0…1; see `Finding.risk`.

    Args:
        abnormal: the classes that count as abnormal; None: the bundle knows none.
    """
    if prediction.decision == "refer" or not prediction.probabilities:
        return 1.0
    if abnormal is None:
        return 1.0 - max(prediction.probabilities.values())
    return min(1.0, sum(prediction.probabilities.get(name, 0.0) for name in abnormal))


def abnormal_classes(card: BundleCard) -> tuple[str, ...] | None:
    """Return the classes a bundle counts as abnormal, or None where it knows none."""
    return None if card.decision is None else tuple(map(str, card.decision["abnormal"]))


def finish_findings(
    db: Session,
    worker: str,
    model: int,
    bundle: str,
    abnormal: Sequence[str] | None,
    said: Sequence[tuple[Taken, Prediction]],
) -> int:
    """Write what a bundle said of some images, and end their jobs; return how many were written.

    Jobs that are no longer this worker's are dropped: somebody else has them. A prediction with a
    problem becomes a finding that refers the image to the doctor, and its job has failed.

    Args:
        model, bundle: the bundle's row and id.
        abnormal: its abnormal classes.
    """
    trail.take_turn(db)
    still = queue.own(db, worker, (job.id for job, _ in said))
    kept = [(job, prediction) for job, prediction in said if job.id in still]
    if kept:
        _write(db, model, bundle, abnormal, kept)
    return len(kept)


def give_up(db: Session) -> int:
    """Let others take jobs whose lease ran out; fail those that were tried too often.

    Returns:
        how many have failed.
    """
    trail.take_turn(db)
    hopeless = queue.expired(db)
    explanations = [job.id for job in hopeless if job.kind == queue.EXPLANATION]
    if explanations:
        queue.failed(db, explanations, queue.GAVE_UP)
    given_up = len(explanations)
    for ready in queue.active(db):  # without an active bundle a job stays as it is
        mine = [
            job for job in hopeless if job.kind == queue.FINDING and job.specimen == ready.specimen
        ]
        if mine:
            said = [(job, unusable("", queue.GAVE_UP)) for job in mine]
            _write(db, ready.model, ready.bundle, None, said)
        given_up += len(mine)
    return given_up


def _write(
    db: Session,
    model: int,
    bundle: str,
    abnormal: Sequence[str] | None,
    kept: Sequence[tuple[Taken, Prediction]],
) -> None:
    now = clock.now()
    rows = [
        {"image_id": job.image_id, "model_id": model, "created_at": now, **_row(said_of, abnormal)}
        for job, said_of in kept
    ]
    db.execute(insert(Finding), rows)
    queue.done(db, [job.id for job, prediction in kept if not prediction.problem])
    for job, prediction in kept:
        if prediction.problem:
            queue.failed(db, [job.id], prediction.problem)
    by_case: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for (job, _), row in zip(kept, rows, strict=True):
        by_case[job.case_id].append(row)
    for case_id in sorted(by_case):
        _tell_case(db, case_id, by_case[case_id], bundle)


def _row(prediction: Prediction, abnormal: Sequence[str] | None) -> dict[str, Any]:
    strange = prediction.strangeness
    broken = bool(prediction.problem)
    return {
        "label": prediction.label,
        "probabilities": prediction.probabilities,
        "inside": list(prediction.classes_in_set),
        "level": prediction.level,
        "decision": "refer" if broken else prediction.decision,
        "reasons": ["it was not analysed"] if broken else list(prediction.reasons),
        "strangeness": None if strange is None else strange.score / strange.limit,
        "examples": [asdict(one) for one in prediction.examples],
        "risk": risk(prediction, abnormal),
        "problem": prediction.problem,
    }


def _tell_case(db: Session, case_id: int, rows: Sequence[Mapping[str, Any]], bundle: str) -> None:
    """Count down what a case waits for, raise its risk, and note it in the audit log.

    Its revision stays: a doctor who is reading meanwhile has nothing to be told; signing asks that
    nothing is pending.
    """
    before = db.execute(
        select(Case.risk, Case.decision, Case.site_id).where(Case.id == case_id).with_for_update()
    ).one()
    risks = [row["risk"] for row in rows]
    decisions = [before.decision, *(row["decision"] for row in rows)]
    worst = max((d for d in decisions if d is not None), key=_WORST.index, default=None)
    db.execute(
        update(Case)
        .where(Case.id == case_id)
        .values(
            pending=Case.pending - len(rows),
            risk=max([before.risk or 0.0, *risks]),
            decision=worst,
        )
        .execution_options(synchronize_session=False)
    )
    trail.record(
        db,
        system("worker"),
        "findings.added",
        "case",
        case_id,
        site=before.site_id,
        bundle=bundle,
        count=len(rows),
    )
