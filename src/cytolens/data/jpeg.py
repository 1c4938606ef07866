"""JPEG by OpenCV: the pixels that Pillow gives, in three quarters of its time."""

from __future__ import annotations

import io
import re
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_END = b"\xff\xd9"
_SCAN = 0xDA
# In a scan 0xFF is followed by 0 (a byte of data), by a restart mark, or by the next marker.
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def decode_jpeg(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG file that Pillow has opened: uint8 RGB [H, W, 3].

    Args:
        image: of the content, not loaded: it says what OpenCV would change without a word.

    Returns:
        None where Pillow must decode: another format or colour mode, a file that does not end as it
        should (OpenCV fills up what is cut off) or whose only scan does not (OpenCV does not mind
        what follows the last line), one that OpenCV cannot decode, or an OpenCV with other pixels.
    """
    if image.format != "JPEG" or image.mode not in ("RGB", "L") or not content.endswith(_END):
        return None
    if not image.info.get("progressive") and not _is_one_scan(content):
        return None
    if not _same_as_pillow():
        return None
    found = _decoded(content)
    return found if found is not None and found.shape[1::-1] == image.size else None


def _is_one_scan(content: bytes) -> bool:
    """Whether the data of the first scan ends with the file (ITU-T T.81, annex B)."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        at += 2 + length
        if marker == _SCAN:
            found = _MARKER.search(content, at)
            return found is not None and found.end() == len(content)
    return False


def _decoded(content: bytes) -> NDArray[np.uint8] | None:
    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS)
    except cv2.error:
        return None
    return None if found is None else np.asarray(found, np.uint8)


@lru_cache(maxsize=1)
def _same_as_pillow() -> bool:
    """Whether both libraries decode alike here: each brings a build of libjpeg of its own."""
    waves = np.sin(np.arange(61 * 43 * 3) ** 1.5).reshape(61, 43, 3)
    made = Image.fromarray((127.5 + 127.5 * waves).astype(np.uint8))
    for subsampling in (0, 1, 2):
        target = io.BytesIO()
        made.save(target, "JPEG", quality=80, subsampling=subsampling)
        found = _decoded(target.getvalue())
        with Image.open(target) as image:
            if found is None or not np.array_equal(found, np.asarray(image)):
                return False
    return True
