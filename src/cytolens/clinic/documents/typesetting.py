"""Typst, as every document of the clinic is set: PDF/A-2a and PDF/UA-1, with fonts of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from cytolens.clinic.documents.glyphs import font_folder
from cytolens.core.errors import CytolensError

STANDARDS = ("a-2a", "ua-1")  # to be kept for decades, and to be read aloud
_PPI = 100  # of pages as PNG


class NotSet(CytolensError):
    """Why Typst refused, in its words; who asked says of what."""


def typeset(
    folder: Path,
    package: str,
    template: str,
    inputs: Mapping[str, str] | None = None,
    form: str = "pdf",
) -> list[bytes]:
    """Set a template: return its PDF, or (form "png") its pages.

    Args:
        folder: what the template reads lies here; it sees no other.
        package, template: the template is `templates/TEMPLATE` of the package.
        inputs: of the template, given in memory and never as markup.

    Raises:
        NotSet: Typst refuses.
    """
    import typst

    (folder / "main.typ").write_text(_template(package, template), encoding="utf-8")
    try:
        made: Any = cast(Any, typst.compile)(
            folder / "main.typ",
            root=folder,
            sys_inputs=dict(inputs or {}),
            font_paths=_fonts(),
            format=form,
            ppi=_PPI,
            pdf_standards=list(STANDARDS) if form == "pdf" else [],
        )
    except typst.TypstError as error:
        raise NotSet(error.message) from error
    return made if isinstance(made, list) else [made]


@cache
def _fonts() -> Any:
    """Return Typst's own fonts and DejaVu Sans; never those of the machine."""
    import typst

    return typst.Fonts(include_system_fonts=False, font_paths=[str(font_folder())])


@cache
def _template(package: str, name: str) -> str:
    return (files(package) / "templates" / name).read_text(encoding="utf-8")
