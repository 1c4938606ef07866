"""Small pictures as data URIs, so that the report needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

SIDE = 176  # twice the size on the page, for dense screens
_QUALITY = 78
_WORKERS = 2


def thumbnail(path: Path, side: int = SIDE) -> str | None:
    """Return the picture as a JPEG data URI, at most `side` px a side; None if unreadable."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (side, side))
            small = image.convert("RGB")
        small.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
        content = io.BytesIO()
        small.save(content, "JPEG", quality=_QUALITY)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, Warning):
        return None
    return data_uri(content.getvalue(), "image/jpeg")


@contextmanager
def making_thumbnails(
    paths: Iterable[Path | None],
) -> Iterator[Callable[[], dict[Path, str | None]]]:
    """Read each picture once, beside whatever is done within; call what is yielded to have them."""
    unique = list(dict.fromkeys(path for path in paths if path is not None))
    with ThreadPoolExecutor(_WORKERS) as pool:
        made = pool.map(thumbnail, unique)
        yield lambda: dict(zip(unique, made, strict=True))


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
