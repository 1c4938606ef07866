"""DICOM images: the pixels alone.

Of a DICOM file only the elements that describe the pixels are looked at, and of a whole slide the
series, which tells what files are one slide. Nothing else is parsed, kept or named in a message: a
file's own words may be a patient's.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.data.reading import MAX_PIXELS, MIN_SIDE, ImageProblem

_ALONE = threading.Lock()
_MAGIC = slice(128, 132)  # "DICM" behind a preamble of 128 bytes (PS3.10, section 7.1)
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage (PS3.4)
_WANTED = [
    "SOPClassUID",
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames",
    "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})


def starts_as_dicom(content: bytes) -> bool:
    return content[_MAGIC] == b"DICM"


def is_dicom(path: Path) -> bool:
    """Tell whether a file starts as DICOM files do; False where it cannot be read."""
    try:
        with path.open("rb") as source:
            return starts_as_dicom(source.read(_MAGIC.stop))
    except OSError:
        return False


def slide_series(path: Path) -> str | None:
    """Return the series of a DICOM whole slide, whose files are its levels; None of other files."""
    if not is_dicom(path):
        return None
    import pydicom

    wanted = ["SOPClassUID", "SeriesInstanceUID"]
    try:
        with _silence():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(wanted))
            if str(dataset.get("SOPClassUID")) != _WHOLE_SLIDE:
                return None
            return str(dataset.get("SeriesInstanceUID", path))
    except Exception:  # damaged: whoever reads it says so
        return None


def decode_dicom(path: Path, content: bytes) -> NDArray[np.uint8]:
    """Return a DICOM image as uint8 RGB [H, W, 3].

    Colour is RGB or YBR, stored as it is or as JPEG; 8-bit grey becomes three equal channels, and
    MONOCHROME1, whose smallest value is white, is turned round. Windows and rescaling, made for
    showing radiographs, are not applied.

    Args:
        path: named in errors only.

    Raises:
        ImageProblem: damaged, no image, several frames, more than 8 bits, a palette, too small or
            too large, or compressed in a way that cannot be read here.
    """
    import pydicom

    try:
        with _silence():
            dataset = pydicom.dcmread(io.BytesIO(content), specific_tags=list(_WANTED))
            problem = _problem(dataset)
            pixels = None if problem else _pixels(dataset)
    except Exception as error:
        # Whatever pydicom says may quote the file, so that neither its words nor its chain of
        # errors are passed on.
        raise ImageProblem(path, _why(error)) from None
    if pixels is None:
        raise ImageProblem(path, problem)
    return pixels


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep pydicom from warning of odd values, which it quotes; one thread at a time.

    Its settings are the process's, so that they are put back.
    """
    from pydicom import config

    log = logging.getLogger("pydicom")
    with _ALONE:
        before = config.settings.reading_validation_mode, log.disabled
        config.settings.reading_validation_mode, log.disabled = config.IGNORE, True
        try:
            yield
        finally:
            config.settings.reading_validation_mode, log.disabled = before


def _why(error: Exception) -> str:
    if isinstance(error, (RuntimeError, NotImplementedError)):
        return "is a DICOM file whose compression cannot be read here; save it uncompressed"
    return f"is a truncated or damaged DICOM file ({type(error).__name__})"


def _problem(dataset: Any) -> str:
    """Say why the pixels cannot be used, or ""."""
    if "PixelData" not in dataset:
        return "is a DICOM file without an image"
    frames = int(dataset.get("NumberOfFrames") or 1)
    bits, colour = int(dataset.BitsAllocated), str(dataset.PhotometricInterpretation)
    width, height = int(dataset.Columns), int(dataset.Rows)
    samples = int(dataset.SamplesPerPixel)
    if frames > 1 and str(dataset.get("SOPClassUID")) == _WHOLE_SLIDE:
        return "is a whole slide, which is scored by tiles into a folder"
    if frames > 1:
        return f"is a DICOM file of several frames ({frames}); save one of them"
    if bits != 8 or int(dataset.get("PixelRepresentation") or 0):
        return f"has more than 8 bits a channel, or signs (DICOM, {bits} bits); save it as 8-bit"
    if (samples, colour in _COLOUR, colour in _GREY) not in ((3, True, False), (1, False, True)):
        return "has a DICOM colour model that is neither RGB, YBR nor grey; save it as RGB"
    if width * height > MAX_PIXELS:
        return (
            f"is too large to decode at once ({width} x {height} pixels, limit {MAX_PIXELS:,}); "
            "cut it to tiles"
        )
    if min(width, height) < MIN_SIDE:
        return f"is only {width} x {height} pixels (at least {MIN_SIDE} a side)"
    return ""


def _pixels(dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.utils import pixel_array

    found = np.asarray(pixel_array(dataset))  # [H, W] or [H, W, 3]; YBR is made RGB
    if found.shape[:2] != (int(dataset.Rows), int(dataset.Columns)) or found.dtype != np.uint8:
        raise ValueError
    if found.ndim == 2:
        if str(dataset.PhotometricInterpretation) == "MONOCHROME1":
            found = 255 - found
        found = np.repeat(found[..., None], 3, axis=2)  # [H, W] -> [H, W, 3]
    return np.ascontiguousarray(found)
