"""Read one image as uint8 RGB, and say exactly why one cannot be read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cytolens.core.errors import CytolensError
from cytolens.core.profile import stage
from cytolens.data.jpeg import decode_jpeg

MAX_PIXELS = 89_000_000  # a 9,400 x 9,400 field, Pillow's own limit; slides want tiles
MIN_SIDE = 8


# What Pillow raises on damaged files, found by cutting and flipping their bytes. Its warnings are
# not silenced (filters are global, and images are read in threads); a program that turns warnings
# into errors gets the same `ImageProblem`.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
    Warning,
)


class ImageProblem(CytolensError):
    """One image that cannot be used; `reason` is a sentence without its subject."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return the image as uint8 RGB [H, W, 3].

    Palette and grey images, and images whose alpha channel is opaque throughout, hold the same
    picture in another form and are converted. What cannot be converted without a guess (CMYK,
    more than 8 bits, transparency, several frames) is refused.

    Raises:
        ImageProblem: missing, empty, truncated, not an image, too small, too large, or of a
            kind that only a guess could turn into 8-bit RGB.
    """
    return decode_image(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        with stage("read"):
            return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageProblem(path, "does not exist") from error
    except OSError as error:
        raise ImageProblem(path, f"cannot be read ({error.strerror})") from error


def decode_image(path: Path, content: bytes) -> NDArray[np.uint8]:
    """Decode the bytes of `path` (named in errors only); see `read_image`."""
    if not content:
        raise ImageProblem(path, "is empty (0 bytes)")
    try:
        with stage("decode"), Image.open(io.BytesIO(content)) as image:
            return _pixels(path, image, content)
    except UnidentifiedImageError as error:
        raise ImageProblem(path, "is not an image of a known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageProblem(path, _too_large(f"over {MAX_PIXELS:,}")) from error
    except _DAMAGE as error:
        raise ImageProblem(path, f"is truncated or damaged ({error})") from error


def _too_large(size: str) -> str:
    return f"is too large to decode at once ({size} pixels, limit {MAX_PIXELS:,}); cut it to tiles"


def _pixels(path: Path, image: Image.Image, content: bytes) -> NDArray[np.uint8]:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageProblem(path, _too_large(f"{width} x {height}"))
    if min(width, height) < MIN_SIDE:
        raise ImageProblem(path, f"is only {width} x {height} pixels (at least {MIN_SIDE} a side)")
    if getattr(image, "n_frames", 1) > 1:
        raise ImageProblem(path, "has several frames (animated or multi-page); save one of them")
    mode = image.mode
    if mode == "CMYK":
        raise ImageProblem(path, "is CMYK (made for print); save it as RGB")
    if mode.startswith(("I", "F")) or any(
        ";16" in str(tile) for tile in getattr(image, "tile", ())
    ):
        raise ImageProblem(path, f"has more than 8 bits a channel ({mode}); save it as 8-bit")
    if mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"), dtype=np.uint8)
        if pixels[..., 3].min() < 255:
            raise ImageProblem(path, "has transparent pixels (alpha channel); save it without")
        return np.ascontiguousarray(pixels[..., :3])
    if mode not in ("RGB", "L", "P", "1", "YCbCr"):
        raise ImageProblem(path, f"has the colour mode {mode}; save it as RGB")
    if (faster := decode_jpeg(image, content)) is not None:
        return faster
    # Pillow would copy an image that is RGB already.
    return np.asarray(image if mode == "RGB" else image.convert("RGB"), dtype=np.uint8)
