"""Puts signatures into the tables without going through the services under test."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Reading, Report


def sign(
    clinic: Installation,
    people: Any,
    case: int,
    category: str,
    at: datetime,
    *,
    hours: float = 24,
    decision: str | None = "clear",
    verdict: str = "agree",
    doctor: str = "doctor",
    blind: bool = False,
    pdf: bytes = b"",
) -> int:
    """Sign a case, or amend it; return the reading's id. `hours`: since it was received."""
    with clinic.writing() as db:
        row = db.get_one(Case, case)
        version = len(row.reports) + 1
        status = "final" if version == 1 else "amended"
        if version == 1:
            row.received_at = at - timedelta(hours=hours)
        row.status, row.signed_at = status, at
        reading = Reading(
            case_id=case,
            doctor_id=people.users[doctor],
            category=category,
            verdict=verdict,
            blind=blind,
            decision=decision,
            created_at=at,
        )
        db.add(reading)
        db.flush()
        document = pdf or f"PDF {case} {version}".encode()
        db.add(
            Report(
                case_id=case,
                version=version,
                status=status,
                reading_id=reading.id,
                signed_by=people.users[doctor],
                content={"accession": row.accession},
                content_sha256="0" * 64,
                pdf=clinic.blobs.put(document),
                bundles=[],
                created_at=at,
            )
        )
        return reading.id
