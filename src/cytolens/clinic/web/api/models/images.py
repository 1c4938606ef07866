"""Images, findings and explanations as they are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, computed_field

from cytolens.clinic.web.api.models.shared import DECISION, Answer


class Bundle(Answer):
    """The bundle that made a finding."""

    id: str = Field(description="12 hex digits.")
    name: str
    version: str


class Example(Answer):
    """A training image that the bundle carries and that is near to the image."""

    image: int = Field(description="Id of the image whose finding it stands with.")
    number: int = Field(description="Of the training image in the bundle, from 1.")
    label: str = Field(description="Its class.")
    distance: float = Field(description="Between features of unit length: 0, the same, to 2.")

    @computed_field(description="Address of its small picture (JPEG).")  # type: ignore[prop-decorator]
    @property
    def picture(self) -> str:
        return f"/api/v1/images/{self.image}/examples/{self.number}"


class Finding(Answer):
    """What a bundle says of an image; never a diagnosis."""

    label: str | None = Field(description="The most probable class.")
    probabilities: Annotated[dict[str, float], BeforeValidator(dict)] = Field(
        description="By class, the largest first; calibrated where the bundle could be."
    )
    inside: list[str] = Field(description="The classes of the conformal set.")
    level: float | None = Field(description="Share of images whose class lies in such a set.")
    decision: str | None = Field(description=DECISION)
    reasons: list[str] = Field(description="Why a doctor should decide.")
    strangeness: float | None = Field(description="Above 1: unlike the images of training.")
    outside: bool | None = Field(description="Unlike the images of training; null: cannot tell.")
    examples: list[Example] = Field(
        description="The nearest training images, the nearest first; empty: the bundle has none."
    )
    risk: float = Field(description="0…1; what the worklist is ranked by.")
    problem: str = Field(description='Why the image could not be used, or "".')
    created_at: datetime
    bundle: Bundle


class Image(Answer):
    """An image of a case, with its finding where it may be seen."""

    id: int
    name: str
    width: int
    height: int
    state: str = Field(
        description="clear, abnormal, refer, found, unusable, waiting, failed, or hidden."
    )
    problem: str
    removed: bool = Field(description="The picture is no longer kept; its finding is.")
    finding: Finding | None

    @computed_field(description="Address of the picture (PNG); null: it is no longer kept.")  # type: ignore[prop-decorator]
    @property
    def picture(self) -> str | None:
        return None if self.removed else f"/api/v1/images/{self.id}"

    @computed_field(description="Address of a small picture (JPEG).")  # type: ignore[prop-decorator]
    @property
    def thumbnail(self) -> str | None:
        return None if self.removed else f"/api/v1/images/{self.id}/thumbnail"


class Progress(Answer):
    """How far the findings of a case are."""

    images: int
    pending: int = Field(description="Images that wait for a finding.")


class RefusedFile(Answer):
    """A file of an upload that could not be used."""

    name: str
    why: str


class Uploaded(Answer):
    """What became of an upload."""

    added: list[int] = Field(description="Ids of the images that are new, in the order sent.")
    known: list[str] = Field(description="Names of files whose picture the case had already.")
    refused: list[RefusedFile]


class Method(Answer):
    """A method of explanation that is offered."""

    name: str
    title: str


class Explanation(Answer):
    """Where the network looked for the class it called; not where disease is."""

    state: str = Field(description="ready, or waits: ask again soon.")
    method: str
    title: str
    target: str | None = Field(description="The class that is explained.")
    overlay: str | None = Field(description="Address of a transparent PNG to lay over the image.")
    notes: list[str] = Field(description="What a reader must know.")
