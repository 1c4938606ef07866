"""Images named on the command line."""

from __future__ import annotations

from pathlib import Path


def image_files(paths: list[Path], purpose: str) -> list[Path]:
    """Expand folders to the images in them, in order.

    Raises:
        InputError: there is none to `purpose` ("predict").
    """
    from cytolens.core.errors import InputError
    from cytolens.data.loading import IMAGE_SUFFIXES

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES)
            files += [p for p in inside if p.is_file()]
        else:
            files.append(path)
    if not files:
        raise InputError(f"There are no images to {purpose}.", expected="image files or folders")
    return files
