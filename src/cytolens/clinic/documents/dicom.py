"""A picture of a report as a DICOM Secondary Capture; an explanation is burnt into its pixels."""

from __future__ import annotations

import io
import unicodedata
from datetime import datetime
from typing import Any

from cytolens.clinic.documents.content import Picture, ReportContent
from cytolens.clinic.documents.identifiers import case_uid
from cytolens.clinic.documents.pictures import decode, laid_over

_SEX = {"female": "F", "male": "M", "other": "O"}
_SHORT, _LONG, _TEXT = 16, 64, 1024  # characters of the value representations SH, LO, ST
_MAKER = "cytolens"


def dicom(
    content: ReportContent, picture: Picture, image_png: bytes, overlay_png: bytes | None = None
) -> bytes:
    """Return one picture as a DICOM file.

    All files of a case share its study; those of a version of its report are one series. Times
    are those of the report, so that the same report gives the same file; all at its offset.

    Args:
        picture: which one of the content's.
        overlay_png: of `picture.overlay`; None: the picture as it is.

    Raises:
        CytolensError: a picture that is none.
    """
    from highdicom import UID, SpecimenDescription
    from highdicom.sc import SCImage

    pixels = decode(image_png)
    explained = picture.overlay if overlay_png is not None else None
    if explained is not None and overlay_png is not None:
        pixels = laid_over(pixels, overlay_png, explained)
    person, specimen = content.patient, content.specimen
    kind = explained.method if explained else "image"
    opened = datetime.fromisoformat(specimen.received_at)
    # One offset a file; by that of the receipt all versions give their study the same time.
    at = datetime.fromisoformat(content.doctor.signed_at or content.created_at)
    at = at.astimezone(opened.tzinfo)
    short = _line(specimen.accession, _SHORT)
    made: Any = SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="SLIDE",
        study_instance_uid=case_uid(content, "study"),
        series_instance_uid=case_uid(content, "series", content.version),
        series_number=content.version,
        sop_instance_uid=case_uid(content, "instance", content.version, picture.sha256, kind),
        instance_number=1
        + 2 * [one.image for one in content.pictures].index(picture.image)
        + (explained is not None),
        manufacturer=_MAKER,
        patient_id=_line(person.number, _LONG),
        patient_name=_name(person.family_name, person.given_name),
        patient_birth_date=person.birth_date.replace("-", "") or None,
        patient_sex=_SEX.get(person.sex),
        # A number that is too long would be another one if it were cut.
        accession_number=short if short == specimen.accession else None,
        study_id=None,
        study_date=opened.date(),
        study_time=opened.time().replace(tzinfo=None),
        container_identifier=_line(specimen.accession, _LONG),
        specimen_descriptions=[
            SpecimenDescription(
                specimen_id=_line(specimen.accession, _LONG),
                specimen_uid=UID(case_uid(content, "specimen")),
            )
        ],
    )
    made.SpecificCharacterSet = "ISO_IR 192"
    made.StudyDescription = _line(specimen.kind.name, _LONG)
    made.SeriesDescription = _line(
        f"Report version {content.version} ({content.status}); not a diagnosis", _LONG
    )
    made.BurnedInAnnotation = "NO"
    made.DerivationDescription = _line(_derivation(content, picture), _TEXT)
    if explained is not None:
        made.DerivationDescription = _line(_explanation(content, picture), _TEXT)
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.ImageComments = _line(f"{picture.name}. {content.disclaimer}", 10_240)
    made.SoftwareVersions = _line(picture.bundle, _LONG) or None
    for name in ("InstanceCreation", "Content"):
        setattr(made, f"{name}Date", at.strftime("%Y%m%d"))
        setattr(made, f"{name}Time", at.strftime("%H%M%S"))
    made.DateOfSecondaryCapture = at.strftime("%Y%m%d")
    made.TimeOfSecondaryCapture = at.strftime("%H%M%S")
    for equipment in made.ContributingEquipmentSequence:
        equipment.ContributionDateTime = at.strftime("%Y%m%d%H%M%S%z")
    made.TimezoneOffsetFromUTC = at.strftime("%z")
    written = io.BytesIO()
    made.save_as(written)
    return written.getvalue()


def _derivation(content: ReportContent, picture: Picture) -> str:
    return (
        f"Image {picture.sha256} of the specimen, decoded and written anew. Report version "
        f"{content.version}, content {content.sha256}."
    )


def _explanation(content: ReportContent, picture: Picture) -> str:
    assert picture.overlay is not None
    explained = picture.overlay
    models = {model.bundle: model for model in content.models}
    model = models.get(picture.bundle)
    said = f" ({model.name}, version {model.version})" if model else ""
    return (
        f"Explanation burnt in: method {explained.method}, class {explained.target}, bundle "
        f"{picture.bundle}{said}. {content.disclaimer} {_derivation(content, picture)}"
    )


def _line(text: str, most: int) -> str:
    """Return one line of at most so many characters; a backslash would part values."""
    kept = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cs") else "/" if c == "\\" else c for c in text
    )
    return " ".join(kept.split())[:most].strip()


def _name(family: str, given: str) -> str:
    """Return a person's name, "Family^Given"; signs that part names become spaces."""
    clean = str.maketrans("^=", "  ")
    parts = [_line(part.translate(clean), 120) for part in (family, given)]
    parts[0] = parts[0][: _LONG - 1]
    parts[1] = parts[1][: max(0, _LONG - len(parts[0]) - 1)]
    return "^".join(parts)
