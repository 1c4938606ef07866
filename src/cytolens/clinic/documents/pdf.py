"""A report as PDF/A, set by Typst: tagged, fonts embedded, the same bytes for the same content."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.layout import layout
from cytolens.clinic.documents.pictures import decode, laid_over, small_jpeg
from cytolens.clinic.documents.typesetting import NotSet, typeset
from cytolens.core.errors import CytolensError


def pdf(content: ReportContent, pictures: Mapping[str, bytes], language: str) -> bytes:
    """Return the document of a report.

    Args:
        content: what it says.
        pictures: PNG by SHA-256: of each picture and each explanation that the content names.
        language: "en" or "es".

    Raises:
        CytolensError: a picture is missing or is none.
    """
    return _typeset(content, pictures, language, "pdf")[0]


def pages(content: ReportContent, pictures: Mapping[str, bytes], language: str) -> list[bytes]:
    """Return the pages of the same document as PNG."""
    return _typeset(content, pictures, language, "png")


def _typeset(
    content: ReportContent, pictures: Mapping[str, bytes], language: str, form: str
) -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="cytolens-report-") as name:
        folder = Path(name)
        _write_pictures(folder, content, pictures)
        # Not through a file: what a patient's report says is not left on a disk.
        inputs = {"report": json.dumps(layout(content, language))}
        try:
            return typeset(folder, "cytolens.clinic.documents", "report.typ", inputs, form)
        except NotSet as error:
            raise CytolensError(f"The report cannot be set: {error}") from error


def _write_pictures(folder: Path, content: ReportContent, pictures: Mapping[str, bytes]) -> None:
    for place, picture in enumerate(content.pictures):
        image = decode(_of(pictures, picture.sha256))
        (folder / f"image-{place}.jpg").write_bytes(small_jpeg(image))
        if picture.overlay is not None:
            over = laid_over(image, _of(pictures, picture.overlay.sha256), picture.overlay)
            (folder / f"overlay-{place}.jpg").write_bytes(small_jpeg(over))


def _of(pictures: Mapping[str, bytes], sha256: str) -> bytes:
    if sha256 not in pictures:
        raise CytolensError(f"The picture {sha256} of the report is missing.")
    return pictures[sha256]
