"""Open whole slides and large images.

OpenSlide (the optional extra `slides`, LGPL 2.1) reads scanners' formats, DICOM slides and tiled
TIFF. Without it, TIFF that is stored plain or deflated is read by tifffile, tile by tile. What fits
into memory is a field too.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.bundle.dicom import slide_series
from cytolens.bundle.field import ArrayField, Field, FieldProblem, check_level, plausible
from cytolens.bundle.inputs import SLIDE_SUFFIXES, Image, read_file
from cytolens.bundle.tiff_field import TiffField
from cytolens.core.errors import InputError
from cytolens.data.reading import MAX_PIXELS

_TIFF = frozenset({".tif", ".tiff", ".btf", ".tf8"})


class SlideField:
    """A slide read by OpenSlide.

    Raises:
        InputError: OpenSlide is missing or does not know the format, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._openslide = _openslide()
        if self._openslide is None:
            raise InputError(
                f"Reading {path} needs OpenSlide, which is not installed.",
                fix="`pip install 'cytolens[slides]'`.",
            )
        self._slide: Any = self._open()
        self.size = self._slide.dimensions
        self.downsamples = tuple(self._slide.level_downsamples)
        properties = self._slide.properties
        self.um_per_px = plausible(properties.get("openslide.mpp-x"))
        colour = properties.get("openslide.background-color", "FFFFFF")
        self._paper = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)], np.float32)

    def _open(self) -> Any:
        assert self._openslide is not None
        try:
            return self._openslide.OpenSlide(str(self._path))
        except (self._openslide.OpenSlideError, OSError) as error:
            raise InputError(
                f"{self._path} is not a slide that OpenSlide can read, or is damaged."
            ) from error

    def _region(self, corner: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        """Read once more from a fresh slide: one that failed anywhere fails for ever after."""
        assert self._openslide is not None
        slide = self._slide
        try:
            return np.asarray(slide.read_region(corner, level, size))
        except self._openslide.OpenSlideError:
            with self._lock:
                try:
                    return np.asarray(self._open().read_region(corner, level, size))
                except self._openslide.OpenSlideError as error:
                    raise FieldProblem(f"a tile of {self._path} is damaged") from error
                finally:
                    # Not closed: another thread may be reading in it; its last holder closes it.
                    if self._slide is slide:
                        self._slide = self._open()

    def close(self) -> None:
        self._slide.close()

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Image:
        check_level(self, level, str(self._path))
        found = self._region((x, y), level, (width, height))
        opaque = found[..., 3:]
        if opaque.min() == 255:
            return np.ascontiguousarray(found[..., :3])
        share = opaque / np.float32(255)
        mixed = np.rint(share * found[..., :3] + (1 - share) * self._paper)
        return np.asarray(mixed, np.uint8)


def _openslide() -> Any:
    try:
        import openslide
    except (ImportError, OSError):  # OSError: the library underneath is missing
        return None
    return openslide


def is_slide(path: Path) -> bool:
    """Tell whether a file must be read by tiles: a scanner's format, a pyramid, a huge TIFF."""
    suffix = path.suffix.lower()
    if suffix not in _TIFF:
        known = suffix in SLIDE_SUFFIXES or slide_series(path) is not None
        return known and path.is_file()
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            levels = len(file.series[0].levels)
            pixels = int(page.imagewidth) * int(page.imagelength)
            return pixels > MAX_PIXELS or (bool(page.is_tiled) and levels > 1)
    except Exception:  # not TIFF: whoever reads it says so
        return False


def open_field(path: Path) -> Field:
    """Open a slide or a large image.

    Raises:
        InputError: it cannot be read by tiles, or a package is missing.
        ImageProblem: an image that fits into memory, and is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    openslide = _openslide()
    suffix = path.suffix.lower()
    if openslide is not None and openslide.OpenSlide.detect_format(str(path)) is not None:
        return SlideField(path)
    if suffix in _TIFF:
        return TiffField(path)
    if suffix in SLIDE_SUFFIXES or slide_series(path) is not None:
        return SlideField(path)
    return ArrayField(read_file(path), str(path))
