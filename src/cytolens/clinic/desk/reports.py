"""Reports as they are fetched: checked against what was signed, and traced."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cytolens.clinic import trail
from cytolens.clinic.actor import Actor
from cytolens.clinic.blobs import BlobProblem
from cytolens.clinic.desk import cases, entered
from cytolens.clinic.desk.signing import pictures_of
from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.dicom import dicom
from cytolens.clinic.documents.fhir import fhir
from cytolens.clinic.errors import NotAllowed, NotFound
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Image, Report
from cytolens.core.files import sha256_json

FORMS = ("pdf", "fhir", "dicom")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # so that the same report gives the same archive


@dataclass(frozen=True)
class Document:
    """A file that is handed out."""

    content: bytes
    media_type: str
    name: str


def find(db: Session, actor: Actor, report_id: int) -> Report:
    """Return a version of a report.

    Raises:
        NotFound: none, or of another site.
        NotAllowed: the case is to be read blind first.
    """
    actor.must(Action.READ_REPORTS)
    report = db.get(Report, report_id) if entered.is_key(report_id) else None
    if report is None or not actor.sees(report.case.site_id):
        raise NotFound("There is no such report.", fix="look for the case in the worklist.")
    if not cases.may_see_findings(db, actor, report.case):
        raise NotAllowed(
            "The reports of this case are hidden until your own reading is entered.",
            fix="enter your reading first.",
        )
    return report


def content_of(report: Report) -> ReportContent:
    """Return what a version says.

    Raises:
        BlobProblem: it is not what was signed.
    """
    if sha256_json(report.content) != report.content_sha256:
        raise BlobProblem(
            f"Version {report.version} of the report {report.case.accession} is not what was "
            "signed: its content was changed in the database. Restore it from a backup."
        )
    return ReportContent.from_json(report.content)


def fetch(clinic: Installation, actor: Actor, report_id: int, form: str) -> Document:
    """Return a version of a report as a file, and trace that it was fetched.

    Args:
        form: "pdf"; "fhir": with the PDF inside; "dicom": its pictures, a zip of several.

    Raises:
        NotFound: no such report, or it has no pictures (any more).
        NotAllowed: the case is to be read blind first.
        BlobProblem: it is not what was signed.
    """
    with clinic.reading() as db:
        kept = _kept(db, find(db, actor, report_id))
    content = kept.content
    name = f"{_file_name(content.specimen.accession)}-v{content.version}"
    if form == "pdf":
        made = Document(_pdf(clinic, kept), "application/pdf", f"{name}.pdf")
    elif form == "fhir":
        said = json.dumps(fhir(content, _pdf(clinic, kept)), ensure_ascii=False)
        made = Document(said.encode("utf-8"), "application/fhir+json", f"{name}.fhir.json")
    else:
        made = _dicom(clinic, kept, name)
    with clinic.writing() as db:
        trail.record(
            db,
            actor,
            "report.fetched",
            "report",
            report_id,
            site=kept.site,
            case=kept.case,
            version=content.version,
            content=kept.sha256,
            form=form,
        )
    return made


@dataclass(frozen=True)
class _Kept:
    """What the database holds of a version."""

    case: int
    site: int
    content: ReportContent
    sha256: str
    pdf: str
    pictures_removed: bool


def _kept(db: Session, report: Report) -> _Kept:
    content = content_of(report)
    removed = select(Image.id).where(
        Image.id.in_([picture.image for picture in content.pictures]),
        Image.removed_at.is_not(None),
    )
    return _Kept(
        case=report.case_id,
        site=report.case.site_id,
        content=content,
        sha256=report.content_sha256,
        pdf=report.pdf,
        pictures_removed=db.scalar(removed.limit(1)) is not None,
    )


def _pdf(clinic: Installation, kept: _Kept) -> bytes:
    try:
        return clinic.blobs.get(kept.pdf)
    except BlobProblem as error:
        raise BlobProblem(
            f"The document of version {kept.content.version} of the report "
            f"{kept.content.specimen.accession} is not what was signed. {error} "
            "Restore it from a backup."
        ) from error


def _dicom(clinic: Installation, kept: _Kept, name: str) -> Document:
    content = kept.content
    if not content.pictures:
        raise NotFound("This report has no pictures.", fix="fetch it as PDF or FHIR.")
    if kept.pictures_removed:
        raise NotFound(
            "Pictures of this report are no longer kept.", fix="fetch it as PDF, which holds them."
        )
    blobs = pictures_of(clinic.blobs, content)
    files = []
    for place, picture in enumerate(content.pictures, 1):
        image = blobs[picture.sha256]
        files.append((f"{name}-{place}.dcm", dicom(content, picture, image)))
        if picture.overlay is not None:
            over = dicom(content, picture, image, blobs[picture.overlay.sha256])
            files.append((f"{name}-{place}-explanation.dcm", over))
    if len(files) == 1:
        return Document(files[0][1], "application/dicom", f"{name}.dcm")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file, written in files:
            archive.writestr(zipfile.ZipInfo(file, _ZIP_DATE), written, zipfile.ZIP_DEFLATED)
    return Document(packed.getvalue(), "application/zip", f"{name}.dcm.zip")


def _file_name(accession: str) -> str:
    """Return an accession number as a part of a file's name: ASCII letters, digits, "-._"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", accession).strip("._") or "report"
