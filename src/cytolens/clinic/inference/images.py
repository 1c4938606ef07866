"""Images of cases; what lies at another site is not found."""

from __future__ import annotations

from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.desk import cases
from cytolens.clinic.errors import NotFound
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Image

_LARGEST = 2**31 - 1  # of the databases' integers


def find(db: Session, actor: Actor, image_id: int) -> Image:
    """Return an image whose picture is kept.

    Raises:
        NotFound: none, of another site, or its time of keeping is over.
    """
    actor.must(Action.READ_CASES)
    image = db.get(Image, image_id) if 0 < image_id <= _LARGEST else None
    if image is not None:
        try:
            cases.find(db, actor, image.case_id)
        except NotFound:
            image = None
    if image is None:
        raise NotFound("There is no such image.", fix="look for its case in the worklist.")
    if image.removed_at is not None:
        raise NotFound(
            "The picture of this image was removed when the time for keeping it was over.",
            fix="its finding and its case's reports are kept.",
        )
    return image
