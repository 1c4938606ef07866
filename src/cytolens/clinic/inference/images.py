"""Images of cases; what lies at another site is not found."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotFound
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case, Image

_LARGEST = 2**31 - 1  # of the databases' integers


def find(db: Session, actor: Actor, image_id: int, *, kept: bool = True) -> Image:
    """Return an image whose picture is kept; with `kept=False` also one whose picture is not.

    Raises:
        NotFound: none, of another site, or its time of keeping is over.
    """
    actor.must(Action.READ_CASES)
    asked = select(Image, Case.site_id).join(Case, Case.id == Image.case_id)
    found = db.execute(asked.where(Image.id == image_id)).first() if _is_key(image_id) else None
    if found is None or not actor.sees(found[1]):
        raise NotFound("There is no such image.", fix="look for its case in the worklist.")
    image: Image = found[0]
    if kept and image.removed_at is not None:
        raise NotFound(
            "The picture of this image was removed when the time for keeping it was over.",
            fix="its finding and its case's reports are kept.",
        )
    return image


def _is_key(number: int) -> bool:
    return 0 < number <= _LARGEST


def site_of(db: Session, image: Image) -> int:
    """Return the site that an image lies at, without its case: pages ask for many images."""
    return db.scalars(select(Case.site_id).where(Case.id == image.case_id)).one()
