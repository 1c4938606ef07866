"""Explanations of findings: asked for by a doctor, made by a worker, kept.

A map says where the network looked for the class it called, not where disease is. Offered are
methods that beat a random map on real cells and change when the network is randomised
(docs/explanation/explanations.md); Eigen-CAM and integrated gradients failed that, Layer-CAM is
undecided.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound
from cytolens.clinic.inference import images, queue
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Finding, Job, Model, Overlay

OFFERED: dict[str, str] = {  # name of `cytolens.explain.METHODS` → title; the quick ones first
    "grad_cam": "Grad-CAM",
    "grad_cam_plus_plus": "Grad-CAM++",
    "ablation_cam": "Ablation-CAM",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "lime": "LIME",
}


def find(db: Session, actor: Actor, image_id: int, method: str) -> Overlay | None:
    """Return an explanation if it was made.

    Raises:
        NotFound: no such image at the account's sites, or a method that is not offered.
        NotAllowed: the case is to be read blind first.
    """
    actor.must(Action.READ_FINDINGS)
    image = images.find(db, actor, image_id)
    if not cases.may_see_findings(db, actor, db.get_one(Case, image.case_id)):
        raise NotAllowed(
            "The findings of this case are hidden until your own reading is entered.",
            fix="enter your reading first.",
        )
    if method not in OFFERED:
        raise NotFound(
            f"There is no explanation by {method[:40]!r}.",
            expected="one of " + ", ".join(OFFERED),
        )
    return db.scalar(select(Overlay).where(Overlay.image_id == image_id, Overlay.method == method))


def ask(db: Session, actor: Actor, image_id: int, method: str) -> Overlay | None:
    """Return an explanation; None: it is being made, ask again soon. Needs a session that writes.

    Who asks first for one that is not there stands in the audit log; who looks at it later has
    looked at the findings of the case, which stands there too.

    Raises:
        NotFound, NotAllowed: as `find`.
        Conflict: the image has no finding to explain, or explaining it failed.
    """
    trail.take_turn(db)
    found = find(db, actor, image_id, method)
    if found is not None:
        return found
    finding = db.execute(
        select(Finding.label, Model.bundle)
        .join(Model, Model.id == Finding.model_id)
        .where(Finding.image_id == image_id)
    ).first()
    if finding is None:
        return None  # the finding comes first
    if finding.label is None:
        raise Conflict("This image was not analysed; there is nothing to explain.")
    job = db.scalar(
        select(Job).where(
            Job.image_id == image_id, Job.kind == queue.EXPLANATION, Job.method == method
        )
    )
    if job is None:
        case = db.get_one(Case, images.find(db, actor, image_id).case_id)
        db.add(
            Job(
                image_id=image_id,
                specimen=case.specimen,
                kind=queue.EXPLANATION,
                method=method,
                created_at=clock.now(),
            )
        )
        db.flush()
        trail.record(
            db,
            actor,
            "explanation.asked",
            "image",
            image_id,
            site=case.site_id,
            bundle=finding.bundle,
            case=case.id,
            method=method,
        )
    elif job.state == "failed":
        raise Conflict(
            f"{OFFERED[method]} could not be made of this image: {job.problem}.",
            fix="choose another method.",
        )
    return None
