"""A picture that a section shows; the page fills in the thumbnail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """`file` is None where nobody knows the image; `alt` says what it is."""

    file: Path | None
    alt: str
