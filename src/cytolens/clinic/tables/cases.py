"""Patients, cases (a specimen with its images), readings, reports and the quality sample."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cytolens.clinic.tables.base import Table
from cytolens.clinic.tables.people import Site, User

UNSIGNED = ("open", "preliminary")  # states of a case
SIGNED = ("final", "amended")


class Patient(Table):
    """A person whose specimens are read; `revision` grows with every correction."""

    __tablename__ = "patient"
    __table_args__ = (UniqueConstraint("site_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    number: Mapped[str] = mapped_column(String(64))  # the laboratory's own
    family_name: Mapped[str] = mapped_column(String(120), index=True)
    given_name: Mapped[str] = mapped_column(String(120), default="")
    birth_date: Mapped[date | None]
    sex: Mapped[str] = mapped_column(
        String(10), default="unknown"
    )  # FHIR: female male other unknown
    created_at: Mapped[datetime]
    revision: Mapped[int] = mapped_column(default=1)

    site: Mapped[Site] = relationship()
    cases: Mapped[list[Case]] = relationship(back_populates="patient")

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - as SQLAlchemy wants it


class Case(Table):
    """A specimen of a patient: images, findings, the doctor's decision, the signed report.

    Attributes:
        accession: the laboratory's number of the specimen.
        specimen: code of a specimen type of the vocabulary, which also says which bundle reads it.
        adequacy, indicators, quality_note: as the vocabulary of the specimen names them.
        status: "open", "preliminary" (read, not signed), "final", "amended".
        blind: findings are hidden from a doctor until the doctor's own reading is entered.
        images, pending: how many there are, and how many wait for a finding.
        risk: the largest of the images' (see `Finding.risk`); None before the first finding.
        decision: of the system: "refer" before "abnormal" before "clear", over the images.
        revision: grows with every change; who writes on an old one is told (`Conflict`).
    """

    __tablename__ = "case"
    __table_args__ = (
        UniqueConstraint("site_id", "accession"),
        Index("ix_case_worklist", "site_id", "status", "risk"),
        Index("ix_case_received", "site_id", "received_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    patient_id: Mapped[int] = mapped_column(ForeignKey("patient.id"), index=True)
    accession: Mapped[str] = mapped_column(String(64))
    specimen: Mapped[str] = mapped_column(String(40))
    collected_on: Mapped[date | None]
    received_at: Mapped[datetime]
    clinical: Mapped[str] = mapped_column(Text, default="")  # history, the question asked
    adequacy: Mapped[str] = mapped_column(String(40), default="")
    indicators: Mapped[list[str]] = mapped_column(default=list)
    quality_note: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(12), default="open")
    blind: Mapped[bool] = mapped_column(default=False)
    assigned_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    images_count: Mapped[int] = mapped_column(default=0)
    pending: Mapped[int] = mapped_column(default=0)
    risk: Mapped[float | None]
    decision: Mapped[str | None] = mapped_column(String(10))
    created_at: Mapped[datetime]
    signed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1)

    site: Mapped[Site] = relationship()
    patient: Mapped[Patient] = relationship(back_populates="cases", lazy="joined")
    assigned: Mapped[User | None] = relationship()
    readings: Mapped[list[Reading]] = relationship(
        back_populates="case", order_by="Reading.created_at"
    )
    reports: Mapped[list[Report]] = relationship(back_populates="case", order_by="Report.version")

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - as SQLAlchemy wants it


class Reading(Table):
    """What a doctor found.

    Attributes:
        kind: "primary", or "quality": a blind second reading of the quality sample.
        category: code of the vocabulary of the case's specimen.
        verdict: against the system's decision: "agree", "upgrade", "downgrade", "inconclusive".
        blind: entered before the findings were shown.
        decision: of the system, as it stood then; None: there was none.
    """

    __tablename__ = "reading"
    __table_args__ = (Index("ix_reading_case", "case_id", "doctor_id"),)  # `desk.blinding.knows`

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"))
    doctor_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)
    kind: Mapped[str] = mapped_column(String(10), default="primary")
    category: Mapped[str] = mapped_column(String(40))
    verdict: Mapped[str] = mapped_column(String(14))
    blind: Mapped[bool]
    decision: Mapped[str | None] = mapped_column(String(10))
    comment: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(index=True)

    case: Mapped[Case] = relationship(back_populates="readings")
    doctor: Mapped[User] = relationship(lazy="joined")


class Report(Table):
    """One version of a case's report; a version is never changed.

    Attributes:
        version: from 1.
        status: "preliminary", "final", "amended".
        reason: why it was amended.
        content: all that the document says (`documents.content`), plain data.
        content_sha256: of its canonical JSON (`core.files.sha256_json`), which the doctor signs.
        pdf: SHA-256 of the PDF among the blobs.
        bundles: ids of the bundles whose findings it quotes.
    """

    __tablename__ = "report"
    __table_args__ = (UniqueConstraint("case_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"))
    version: Mapped[int]
    status: Mapped[str] = mapped_column(String(12))
    reading_id: Mapped[int] = mapped_column(ForeignKey("reading.id"))
    signed_by: Mapped[int | None] = mapped_column(ForeignKey("user.id"))  # None: preliminary
    reason: Mapped[str] = mapped_column(Text, default="")
    content: Mapped[dict[str, Any]]
    content_sha256: Mapped[str] = mapped_column(String(64))
    pdf: Mapped[str] = mapped_column(String(64))
    bundles: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(index=True)

    case: Mapped[Case] = relationship(back_populates="reports")
    reading: Mapped[Reading] = relationship()
    signer: Mapped[User | None] = relationship()


class QualityDraw(Table):
    """A signed case drawn for a blind second reading by another doctor: see `oversight.quality`."""

    __tablename__ = "quality_draw"
    __table_args__ = (Index("ix_quality_draw_open", "reading_id", "case_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("case.id"), unique=True)
    period: Mapped[str] = mapped_column(String(7), index=True)  # "2026-11"
    drawn_at: Mapped[datetime]
    reading_id: Mapped[int | None] = mapped_column(ForeignKey("reading.id"))

    case: Mapped[Case] = relationship()
    reading: Mapped[Reading | None] = relationship()
