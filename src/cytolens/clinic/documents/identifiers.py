"""Identifiers of documents: derived from what a case is, the same wherever they are made again."""

from __future__ import annotations

import base64
import hashlib
import uuid

from cytolens.clinic.documents.content import ReportContent


def case_uuid(content: ReportContent, *names: object) -> uuid.UUID:
    """Return a UUID of a case, or of a part of it that `names` tell.

    It comes from SHA-256 over the laboratory's code, the accession number, the moment at which the
    case was opened, and the names; marked as version 5 (of names), variant RFC 4122.
    """
    specimen = content.specimen
    told = (content.laboratory.code, specimen.accession, specimen.opened_at, *map(str, names))
    digest = hashlib.sha256("\x1f".join(told).encode("utf-8")).digest()
    return uuid.UUID(bytes=digest[:16], version=5)


def case_uid(content: ReportContent, *names: object) -> str:
    """Return the same as a DICOM UID: "2.25." and the UUID as a number (PS3.5, annex B.2)."""
    return f"2.25.{case_uuid(content, *names).int}"


def hash_uri(sha256: str) -> str:
    """Return a SHA-256 as a URI (RFC 6920): `ni:///sha-256;…`."""
    said = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode("ascii").rstrip("=")
    return f"ni:///sha-256;{said}"
