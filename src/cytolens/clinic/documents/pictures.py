"""Pictures of a report: an image made small, and an explanation laid over it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.clinic.documents.content import Explained
from cytolens.core.errors import CytolensError

Pixels = NDArray[np.uint8]
_SIDE = 1000  # pixels of the longer side in a document
_QUALITY = 92  # of JPEG


def decode(png: bytes) -> Pixels:
    """Return a stored image as uint8 RGB [H, W, 3]."""
    return np.asarray(cv2.cvtColor(_read(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def laid_over(image: Pixels, overlay_png: bytes, explained: Explained) -> Pixels:
    """Return uint8 RGB [H, W, 3] with a transparent overlay, stretched over it, burnt in."""
    overlay = _read(overlay_png, cv2.IMREAD_UNCHANGED)
    if overlay.ndim != 3 or overlay.shape[2] != 4:
        raise CytolensError(f"The explanation {explained.sha256} is no transparent picture.")
    height, width = image.shape[:2]
    scaled = cv2.resize(overlay, (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = scaled[..., 3:].astype(np.float32) / 255  # [H, W, 1]
    colour = scaled[..., 2::-1].astype(np.float32)  # BGRA -> RGB, [H, W, 3]
    mixed = image.astype(np.float32) * (1 - alpha) + colour * alpha
    return np.asarray(np.rint(mixed), np.uint8)


def small_jpeg(image: Pixels) -> bytes:
    """Return uint8 RGB [H, W, 3] as JPEG of at most 1000 pixels a side."""
    scale = _SIDE / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise CytolensError("A picture of the report could not be written.")
    return content.tobytes()


def _read(content: bytes, flags: int) -> Pixels:
    found = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if found is None:
        raise CytolensError("A stored image of the report is no picture.")
    return np.asarray(found, np.uint8)
