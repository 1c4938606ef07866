"""Set a page from its template: one file that loads nothing else and runs no foreign script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cytolens.report.views.picture import Picture

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, thumbs: Mapping[Path, str | None], **content: Any) -> str:
    """Return the HTML of a page.

    Args:
        template: file name in the package's templates.
        thumbs: data URI of each picture that the page shows; None for unreadable ones.
        content: what the template names; everything is escaped unless it is `Markup`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    environment.globals["thumb"] = _finder(thumbs)
    return environment.get_template(template).render(
        script=Markup(script), script_hash=_hash(script), **content
    )


def _finder(thumbs: Mapping[Path, str | None]) -> Callable[[Picture], str | None]:
    return lambda picture: thumbs.get(picture.file) if picture.file is not None else None


def _hash(script: str) -> str:
    """Return the name by which the content security policy allows this script and no other."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
