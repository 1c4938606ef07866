"""Training images that a bundle carries, shown beside the findings that they are near to.

Which ones, and how far they are, is kept with the finding; the pictures stay in the bundle, whose
folder is kept when it is retired.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.bundle.card import read_bundle_card
from cytolens.bundle.examples import Examples, read_examples
from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.errors import NotAllowed, NotFound
from cytolens.clinic.inference import images
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Finding
from cytolens.core.errors import InputError

NEAREST = 5  # kept with a finding
_OPEN = 4  # bundles whose pictures stay in memory

log = logging.getLogger("cytolens.clinic.examples")


class Shelf:
    """The pictures of the bundles that were asked for last, read and checked once each."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Examples | None] = OrderedDict()
        self._lock = Lock()

    def of(self, folder: Path) -> Examples | None:
        """Return the training images of a bundle's folder; None: it carries none.

        Raises:
            InputError: no bundle there, or its file was changed.
        """
        with self._lock:
            if folder not in self._open:
                self._open[folder] = read_examples(folder, read_bundle_card(folder))
            self._open.move_to_end(folder)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return self._open[folder]

    def close(self) -> None:
        """Forget them."""
        self._open.clear()


def find(db: Session, actor: Actor, image_id: int, number: int) -> str:
    """Return the bundle whose training image of this number is near to an image.

    Raises:
        NotFound: no such image at the account's sites, or none of its nearest has that number.
        NotAllowed: the case is to be read blind first.
    """
    actor.must(Action.READ_FINDINGS)
    image = images.find(db, actor, image_id, kept=False)
    if not cases.may_see_findings(db, actor, db.get_one(Case, image.case_id)):
        raise NotAllowed(
            "The findings of this case are hidden until your own reading is entered.",
            fix="enter your reading first.",
        )
    finding = db.scalar(select(Finding).where(Finding.image_id == image_id))
    if finding is None or number not in (near["number"] for near in finding.examples):
        raise NotFound("There is no such training image.", fix="choose one of the finding's.")
    return finding.model.bundle


def picture(clinic: Installation, bundle: str, number: int) -> bytes:
    """Return a training image of a bundle, JPEG.

    Raises:
        NotFound: the bundle's file is missing or was changed.
    """
    try:
        found = clinic.part(Shelf).of(clinic.settings.bundles / bundle)
        if found is None:
            raise InputError("The bundle carries no training images.")
        return found.thumbnail(number)
    except InputError as error:
        log.error("training image %s of bundle %s: %s", number, bundle, error)
        raise NotFound(
            "The training images of this bundle cannot be read.",
            fix="an administrator should put its folder back from a backup.",
        ) from error
