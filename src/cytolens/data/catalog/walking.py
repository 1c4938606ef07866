"""Walk a published tree: images in a stable order, and class folders however they are spelled."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

from cytolens.data.loading import IMAGE_SUFFIXES


def images(
    source: Path, suffixes: Collection[str] = IMAGE_SUFFIXES
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Yield (path relative to `source`, file) of each image, sorted; hidden ones are skipped."""
    root = source.resolve()
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith((".", "__MACOSX")))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                file = Path(folder, name)
                yield PurePosixPath(file.relative_to(root).as_posix()), file


def folded(name: str) -> str:
    """Return a folder name without case, spaces, brackets and dashes, for comparing."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


class ClassFolders:
    """Finds the class of an image by the nearest folder above it that is named after a class."""

    def __init__(self, names: Mapping[str, Collection[str]]) -> None:
        """`names`: {class: folder names that mean it}; the class's own name always does."""
        self._classes = {
            folded(alias): label for label, aliases in names.items() for alias in (label, *aliases)
        }

    def label(self, path: PurePosixPath, source: Path) -> str | None:
        """Return the class of `path` (relative to `source`), or None; `source` may be a class."""
        above = (source.resolve().name, *path.parent.parts)
        for part in reversed(above):
            if label := self._classes.get(folded(part)):
                return label
        return None
