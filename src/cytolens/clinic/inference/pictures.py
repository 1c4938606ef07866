"""The stored pictures of images, as arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.clinic.blobs import BlobProblem, Blobs, StoreAway
from cytolens.data.reading import ImageProblem


def read_picture(blobs: Blobs, sha256: str) -> NDArray[np.uint8]:
    """Return a stored picture as uint8 RGB [H, W, 3].

    Raises:
        ImageProblem: its blob is missing or was changed.
        StoreAway: the store cannot be asked; the picture may be whole.
    """
    try:
        content = blobs.get(sha256)
    except StoreAway:
        raise
    except BlobProblem as problem:
        reason = f"cannot be read from the store: {problem}"
        raise ImageProblem(Path("image"), reason) from problem
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ImageProblem(Path("image"), "is stored in a form that cannot be read")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
