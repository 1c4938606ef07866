"""Images, the queue, findings, explanations, and the bundles that make them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cytolens.clinic.tables.base import Table
from cytolens.clinic.tables.cases import Case

CLASS_NAME = 100  # characters


class Model(Table):
    """A bundle (`cytolens.bundle`) that was uploaded.

    Attributes:
        bundle: its id, 12 hex digits (`bundle.bundle_id`); its files lie in `DATA/bundles/ID/`.
        specimen: the specimen type it reads.
        status: "uploaded", "active", "retired"; one is active a specimen type.
        card: the content of `bundle.json`.
    """

    __tablename__ = "model"
    __table_args__ = (
        Index(
            "ix_model_one_active",
            "specimen",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    bundle: Mapped[str] = mapped_column(String(12), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[str] = mapped_column(String(30))
    specimen: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(10), default="uploaded")
    card: Mapped[dict[str, Any]]
    uploaded_at: Mapped[datetime]
    activated_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]


class Image(Table):
    """An image of a case, decoded and written anew without what its file said beside the pixels.

    Attributes:
        sha256: of the PNG among the blobs; the same image comes once a case.
        thumbnail: SHA-256 of a small JPEG among the blobs.
        name: of the file, without its folder; shown, never used as a path.
        removed_at: when its blobs were removed (`management.retention`); None: they are there.
    """

    __tablename__ = "image"
    __table_args__ = (UniqueConstraint("case_id", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    thumbnail: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    width: Mapped[int]
    height: Mapped[int]
    uploaded_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    uploaded_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]

    case: Mapped[Case] = relationship()
    finding: Mapped[Finding | None] = relationship(back_populates="image")


class Job(Table):
    """Work for the workers: a finding of an image, or an explanation of one.

    Attributes:
        kind: "finding", or "explanation".
        method: of an explanation; "" of a finding.
        state: "waiting", "running", "done", "failed".
        tries: how often it was taken.
        leased_until: whoever runs it has lost it after that, and another takes it.
        problem: why it failed, a sentence.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("image_id", "kind", "method"),
        Index("ix_job_next", "state", "kind", "specimen", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    specimen: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(12))
    method: Mapped[str] = mapped_column(String(40), default="")
    state: Mapped[str] = mapped_column(String(8), default="waiting")
    tries: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(String(80), default="")
    leased_until: Mapped[datetime | None]
    problem: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]

    image: Mapped[Image] = relationship()


class Finding(Table):
    """What a bundle says of an image; never a diagnosis. One an image, and never changed.

    Attributes:
        label, probabilities, decision, reasons: as `bundle.Prediction`.
        inside: the classes of the conformal set; level: of that set.
        strangeness: the score of out of distribution; above 1 it is out. None: cannot tell.
        examples: the nearest training images that the bundle carries, the nearest first: {number,
            label, distance} as `bundle.NearExample`; empty where it carries none.
        risk: what the worklist is ranked by, 0…1: the probability of the abnormal classes; 1 minus
            the largest probability where the bundle knows none; 1 where it refers.
        problem: why the image could not be used, or "".
    """

    __tablename__ = "finding"

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), unique=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    label: Mapped[str | None] = mapped_column(String(CLASS_NAME))
    probabilities: Mapped[dict[str, float]]
    inside: Mapped[list[str]]
    level: Mapped[float | None]
    decision: Mapped[str | None] = mapped_column(String(10))
    reasons: Mapped[list[str]]
    strangeness: Mapped[float | None]
    examples: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    risk: Mapped[float]
    problem: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(index=True)

    image: Mapped[Image] = relationship(back_populates="finding")
    model: Mapped[Model] = relationship(lazy="joined")


class Overlay(Table):
    """An explanation of an image by one method.

    Attributes:
        target: the class that is explained.
        overlay: SHA-256 of a transparent PNG among the blobs, of the image's proportions, to be
            stretched over it; its longer side has 1024 pixels at most.
        raw: SHA-256 of a .npy, float32 [H, W], raw magnitude, among the blobs.
        notes: what a reader must know ("the map is zero everywhere …").
    """

    __tablename__ = "overlay"
    __table_args__ = (UniqueConstraint("image_id", "method"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    method: Mapped[str] = mapped_column(String(40))
    target: Mapped[str] = mapped_column(String(CLASS_NAME))
    overlay: Mapped[str] = mapped_column(String(64))
    raw: Mapped[str] = mapped_column(String(64))
    notes: Mapped[list[str]]
    created_at: Mapped[datetime]

    image: Mapped[Image] = relationship()
    model: Mapped[Model] = relationship()
