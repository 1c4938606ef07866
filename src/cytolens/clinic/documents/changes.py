"""What is different between two versions of a report."""

from __future__ import annotations

from datetime import datetime

from cytolens.clinic.documents.content import Change, ReportContent


def changes(before: ReportContent, after: ReportContent) -> tuple[Change, ...]:
    """Return what is different, in the order of the document; its words are compared."""
    old, new = _fields(before), _fields(after)
    if _at(before) == _at(after):  # the same moment; the laboratory's time zone was set anew
        old["Received"] = new["Received"]
    return tuple(Change(name, old[name], new[name]) for name in new if old[name] != new[name])


def _at(content: ReportContent) -> datetime | None:
    at = content.specimen.received_at
    return datetime.fromisoformat(at) if at else None


def _fields(content: ReportContent) -> dict[str, str]:
    patient, specimen, quality = content.patient, content.specimen, content.quality
    diagnosis, system = content.diagnosis, content.system
    return {
        "Patient number": patient.number,
        "Family name": patient.family_name,
        "Given name": patient.given_name,
        "Date of birth": patient.birth_date,
        "Sex": patient.sex,
        "Specimen": specimen.kind.name,
        "Accession number": specimen.accession,
        "Collected": specimen.collected_on,
        "Received": specimen.received_at,
        "Clinical question": specimen.clinical,
        "Adequacy": quality.adequacy.name if quality.adequacy else "",
        "Indicators": "; ".join(word.name for word in quality.indicators),
        "Note on quality": quality.note,
        "Category": f"{diagnosis.category.code}: {diagnosis.category.name}",
        "Verdict": diagnosis.verdict,
        "Comment": diagnosis.comment,
        "Images": str(system.images),
        "System's decision": system.decision,
        "Doctor": content.doctor.name,
    }
