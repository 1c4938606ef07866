"""TIFF files read by tifffile, a stored piece at a time, where OpenSlide is not there or cannot."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from cytolens.bundle.field import WHITE, FieldProblem, check_level, plausible
from cytolens.bundle.inputs import Image
from cytolens.core.errors import InputError

_PICTURE, _JPEG = (0, 1, 2), 7  # TIFF's photometric grey and RGB; JPEG is made RGB as it is decoded
_KEPT = 32 << 20  # bytes of decoded tiles kept
_WHOLE = 256 << 20  # a stored piece larger than this cannot be decoded at once


class TiffField:
    """A TIFF file read by tifffile, a stored piece (tile or strip) at a time.

    Raises:
        InputError: not 8-bit RGB or grey, compressed in a way that needs OpenSlide, or stored in
            pieces too large to decode.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self._path, self._lock = path, threading.Lock()
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._bytes = 0
        with contextlib.ExitStack() as opened:
            try:
                self._file = opened.enter_context(tifffile.TiffFile(path))
                self._pages = [level.keyframe for level in self._file.series[0].levels]
            except (OSError, ValueError, LookupError, tifffile.TiffFileError) as error:
                raise InputError(f"{path} is not a TIFF file, or is damaged.") from error
            self._describe()
            opened.pop_all()

    def close(self) -> None:
        self._file.close()

    def _describe(self) -> None:
        first = self._pages[0]
        self.size = int(first.imagewidth), int(first.imagelength)
        self.downsamples = tuple(self.size[0] / page.imagewidth for page in self._pages)
        self.um_per_px = _tiff_scale(first)
        for page in self._pages:
            self._check(page)

    def _check(self, page: Any) -> None:
        samples = int(page.samplesperpixel)
        picture = int(page.photometric) in _PICTURE or int(page.compression) == _JPEG
        plain = picture and int(page.planarconfig) == 1
        if page.dtype != np.uint8 or samples not in (1, 3, 4) or not plain:
            raise InputError(
                f"{self._path} is not an 8-bit RGB or grey image ({page.dtype}, {samples} "
                "channels a pixel).",
                fix="save it as 8-bit RGB, channels side by side.",
            )
        rows, columns = page.chunks[:2]
        if rows * columns * samples > _WHOLE:
            raise InputError(
                f"{self._path} is stored in pieces of {columns} x {rows} pixels, too large to "
                "read a part.",
                fix="save it as a tiled TIFF.",
            )
        try:
            self._decode(page, 0)
        except (ValueError, ImportError, FieldProblem) as error:
            kind = getattr(page.compression, "name", str(page.compression))
            raise InputError(
                f"{self._path} cannot be read by tiles here (compression: {kind}).",
                fix="install OpenSlide: `pip install 'cytolens[slides]'`; if it is there, save "
                "the image as a tiled TIFF.",
            ) from error

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Image:
        check_level(self, level, str(self._path))
        page = self._pages[level]
        left, top = round(x / self.downsamples[level]), round(y / self.downsamples[level])
        found = np.full((height, width, 3), WHITE, np.uint8)
        rows, columns = page.chunks[:2]
        across = -(-page.imagewidth // columns)
        right, bottom = min(left + width, page.imagewidth), min(top + height, page.imagelength)
        for row in range(max(top, 0) // rows, -(-bottom // rows) if bottom > 0 else 0):
            for column in range(max(left, 0) // columns, -(-right // columns) if right > 0 else 0):
                piece = self._piece(level, row * across + column)
                y0, x0 = row * rows, column * columns  # of the piece, in this level
                a, b = max(y0, top), min(y0 + len(piece), bottom)
                c, d = max(x0, left), min(x0 + piece.shape[1], right)
                if a < b and c < d:
                    part = piece[a - y0 : b - y0, c - x0 : d - x0]
                    found[a - top : b - top, c - left : d - left] = part
        return found

    def _piece(self, level: int, index: int) -> Any:
        """Return a stored piece, uint8 [h, w, 1 or 3]; the last ones that were read are kept."""
        key = level, index
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        piece = self._decode(self._pages[level], index)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = piece
                self._bytes += piece.nbytes
            while self._bytes > _KEPT and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return piece

    def _decode(self, page: Any, index: int) -> Any:
        count = int(page.databytecounts[index])
        if count == 0:  # never written: glass
            return np.full((*page.chunks[:2], 1), WHITE, np.uint8)
        with self._lock:
            handle = self._file.filehandle
            handle.seek(int(page.dataoffsets[index]))
            content = handle.read(count)
        try:
            piece, _, _ = page.decode(content, index)
        except Exception as error:
            raise FieldProblem(f"a tile of {self._path} is damaged") from error
        if piece is None or len(content) < count:
            raise FieldProblem(f"a tile of {self._path} is damaged")
        pixels = np.asarray(piece)[0]  # [1, h, w, s] -> [h, w, s]
        if int(page.photometric) == 0:  # smallest value is white
            pixels = 255 - pixels
        return pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]


def _tiff_scale(page: Any) -> float | None:
    tags = page.tags
    unit = (
        {2: 25_400.0, 3: 10_000.0}.get(int(tags["ResolutionUnit"].value), 0.0)
        if ("ResolutionUnit" in tags and "XResolution" in tags)
        else 0.0
    )
    if not unit:
        return None
    above, below = tags["XResolution"].value
    return plausible(unit * below / above) if above else None
