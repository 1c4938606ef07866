"""Bundles: checked and installed, one active a specimen type, retired; never changed or deleted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cytolens.bundle import Bundle, BundleCard, bundle_id, load_bundle
from cytolens.bundle.card import check_files, read_bundle_card
from cytolens.bundle.model_card import ModelCard
from cytolens.bundle.model_card import of_card as model_card_of
from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Conflict, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management.unpacking import NEW, unpack
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Finding, Model
from cytolens.clinic.tables.inference import CLASS_NAME
from cytolens.clinic.vocabulary import vocabulary
from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import CytolensError, InputError
from cytolens.core.files import writing
from cytolens.core.seeding import rng

NOTES = {  # part of a bundle's card → what it means that it is missing
    "decision": "knows no abnormal classes: it sorts nothing",
    "ood": "cannot tell images that are unlike those of training",
    "calibration": "its probabilities are not calibrated",
}
_SUM = 1e-3  # by which probabilities may miss one


@dataclass(frozen=True)
class Installed:
    """A bundle as its list shows it; `findings` is how many it made."""

    id: int
    bundle: str
    name: str
    version: str
    specimen: str
    status: str
    classes: tuple[str, ...]
    uploaded_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    findings: int
    notes: tuple[str, ...]


def install(
    installation: Installation, actor: Actor, source: Path, specimen: str
) -> tuple[Model, list[str]]:
    """Check a bundle and keep it; it reads nothing before `activate`.

    Its format and the hash of every file are checked, it is loaded, and it predicts an image of
    noise, all outside of any transaction; then its folder is renamed to `DATA/bundles/ID/`.

    Args:
        source: a zip archive or a folder of a bundle, or a run that holds one.
        specimen: code of the specimen type it shall read.

    Returns:
        its row, and the names of files that were left behind because the bundle does not name them.

    Raises:
        Refused: no bundle, one that cannot be loaded or does not predict, no such specimen type.
        Conflict: this bundle is installed already.
    """
    actor.must(Action.MANAGE_BUNDLES)
    try:
        vocabulary(specimen)
        place = installation.settings.bundles
        with writing(place, "the bundle"):
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=NEW, dir=place) as made:
                folder = Path(made) / "bundle"
                folder.mkdir()
                left = unpack(source, folder)
                loaded = load_bundle(folder, examples=1)  # so that they are looked at
                _check_classes(loaded.classes)
                _check_predicts(loaded)
                name = bundle_id(folder)
                _refuse_known(installation, name)
                _keep(folder, place / name)
    except Refused:
        raise
    except InputError as error:
        raise Refused(
            error.what, rows=error.rows, expected=error.expected, fix=error.fix
        ) from error
    with installation.writing() as db:
        model = Model(
            bundle=name,
            name=_title(loaded.card),
            version=loaded.card.version[:30],
            specimen=specimen,
            status="uploaded",
            card=to_dict(loaded.card),
            uploaded_at=clock.now(),
        )
        db.add(model)
        db.flush()
        trail.record(
            db, actor, "bundle.installed", "model", model.id, bundle=name,
            specimen=specimen, version=model.version, left=left[:20],
        )  # fmt: skip
    return model, left


def activate(db: Session, actor: Actor, model_id: int) -> Model:
    """Let a bundle read its specimen type; the one that did is retired in the same transaction.

    Raises:
        NotFound: no such bundle.
        Conflict: it is active already.
    """
    actor.must(Action.MANAGE_BUNDLES)
    trail.take_turn(db)
    model = find(db, actor, model_id)
    if model.status == "active":
        raise Conflict("This bundle is active already.")
    former = db.scalar(
        select(Model)
        .where(Model.specimen == model.specimen, Model.status == "active")
        .with_for_update()
    )
    if former is not None:
        _retire(db, actor, former, replaced_by=model.bundle)
    model.status, model.activated_at, model.retired_at = "active", clock.now(), None
    db.flush()
    trail.record(
        db, actor, "bundle.activated", "model", model.id, bundle=model.bundle,
        specimen=model.specimen, version=model.version,
        former=None if former is None else former.bundle,
    )  # fmt: skip
    return model


def retire(db: Session, actor: Actor, model_id: int) -> Model:
    """Take a bundle out of use; its findings stay. Images wait until another is active.

    Raises:
        NotFound: no such bundle.
        Conflict: it is not active.
    """
    actor.must(Action.MANAGE_BUNDLES)
    trail.take_turn(db)
    model = find(db, actor, model_id)
    if model.status != "active":
        raise Conflict("Only an active bundle can be retired.", rows=[f"it is {model.status}"])
    _retire(db, actor, model, replaced_by="")
    return model


def find(db: Session, actor: Actor, model_id: int) -> Model:
    """Return a bundle's row.

    Raises:
        NotFound: no such bundle.
    """
    actor.must(Action.MANAGE_BUNDLES)
    model = db.get(Model, model_id)
    if model is None:
        raise NotFound("There is no such bundle.")
    return model


def installed(db: Session, actor: Actor) -> list[Installed]:
    """Return all bundles: the active ones first, then the newest."""
    actor.must(Action.MANAGE_BUNDLES)
    counted = (
        select(Finding.model_id, func.count().label("findings"))
        .group_by(Finding.model_id)
        .subquery()
    )
    rows = db.execute(
        select(Model, counted.c.findings).outerjoin(counted, counted.c.model_id == Model.id)
    ).all()
    order = {"active": 0, "uploaded": 1, "retired": 2}
    shown = [shown_as(model, findings or 0) for model, findings in rows]
    return sorted(shown, key=lambda m: (order[m.status], m.specimen, -m.id))


def shown_as(model: Model, findings: int) -> Installed:
    """Return a bundle's row as its list shows it."""
    card = model.card
    return Installed(
        id=model.id,
        bundle=model.bundle,
        name=model.name,
        version=model.version,
        specimen=model.specimen,
        status=model.status,
        classes=tuple(card["classes"]),
        uploaded_at=model.uploaded_at,
        activated_at=model.activated_at,
        retired_at=model.retired_at,
        findings=findings,
        notes=tuple(text for part, text in NOTES.items() if not card.get(part)),
    )


def card_of(model: Model) -> ModelCard:
    """Return the model card of an installed bundle, as its row describes it.

    Raises:
        InputError: the row is not of this version's format.
    """
    return model_card_of(from_dict(BundleCard, model.card, f"bundle {model.bundle}"))


def _retire(db: Session, actor: Actor, model: Model, replaced_by: str) -> None:
    model.status, model.retired_at = "retired", clock.now()
    db.flush()  # before another becomes active: there is one a specimen type
    trail.record(
        db, actor, "bundle.retired", "model", model.id, bundle=model.bundle,
        specimen=model.specimen, version=model.version, replaced_by=replaced_by,
    )  # fmt: skip


def _title(card: BundleCard) -> str:
    named = card.provenance.get("data")
    return (f"{card.backbone} on {named}" if named else card.backbone)[:200]


def _check_classes(classes: Sequence[str]) -> None:
    """Refuse names that the tables cannot hold: every finding would fail, long after."""
    if long := [name for name in classes if len(name) > CLASS_NAME]:
        raise Refused(
            "Class names of this bundle are too long to be kept.",
            rows=[f"{name[:40]}… has {len(name)} characters" for name in long],
            expected=f"at most {CLASS_NAME}",
        )


def _check_predicts(bundle: Bundle) -> None:
    """Refuse a bundle whose network does not give probabilities."""
    noise = rng(0, "installing a bundle").integers(0, 256, (*bundle.size, 3), dtype=np.uint8)
    try:
        [said] = bundle.predict_arrays([noise])
    except CytolensError:
        raise
    except Exception as error:  # whatever an engine raises over a file that is not what it says
        raise Refused(
            f"The bundle was loaded, but does not predict: {type(error).__name__}."
        ) from error
    values = np.array(list(said.probabilities.values()))
    if not np.isfinite(values).all() or abs(values.sum() - 1) > _SUM or values.min() < 0:
        raise Refused("The bundle was loaded, but what it predicts are no probabilities.")


def _refuse_known(installation: Installation, name: str) -> None:
    with installation.reading() as db:
        known = db.scalar(select(Model).where(Model.bundle == name))
    if known is not None:
        raise Conflict(
            f"The bundle {name} is installed already, for {known.specimen}; it is {known.status}."
        )


def _whole(place: Path) -> bool:
    try:
        check_files(place, read_bundle_card(place))
    except InputError:
        return False
    return True


def _keep(folder: Path, place: Path) -> None:
    """Rename a whole bundle to its place; what a killed upload left there is replaced.

    A whole one is left: another upload of the same bundle put it there a moment ago.
    """
    if _whole(place):
        return
    for path in folder.iterdir():
        with path.open("rb") as written:
            os.fsync(written.fileno())
    if place.exists():
        shutil.rmtree(place)
    folder.rename(place)
