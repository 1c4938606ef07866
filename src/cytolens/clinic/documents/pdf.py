"""A report as PDF/A, set by Typst: tagged, fonts embedded, the same bytes for the same content."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.glyphs import font_folder
from cytolens.clinic.documents.layout import layout
from cytolens.clinic.documents.pictures import decode, laid_over, small_jpeg
from cytolens.core.errors import CytolensError

STANDARDS = ("a-2a", "ua-1")  # to be kept for decades, and to be read aloud
_PPI = 100  # of pages as PNG


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
    import typst

    with tempfile.TemporaryDirectory(prefix="cytolens-report-") as name:
        folder = Path(name)
        (folder / "main.typ").write_text(_template(), encoding="utf-8")
        _write_pictures(folder, content, pictures)
        try:
            made: Any = cast(Any, typst.compile)(
                folder / "main.typ",
                root=folder,
                # Not through a file: what a patient's report says is not left on a disk.
                sys_inputs={"report": json.dumps(layout(content, language))},
                font_paths=_fonts(),
                format=form,
                ppi=_PPI,
                pdf_standards=list(STANDARDS) if form == "pdf" else [],
            )
        except typst.TypstError as error:
            raise CytolensError(f"The report cannot be set: {error.message}") from error
    return made if isinstance(made, list) else [made]


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


@cache
def _fonts() -> Any:
    """Return Typst's own fonts and DejaVu Sans; never those of the machine."""
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(font_folder())])


@cache
def _template() -> str:
    source = files("cytolens.clinic.documents") / "templates" / "report.typ"
    return source.read_text(encoding="utf-8")
