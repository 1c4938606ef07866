"""JPEG by OpenCV: Pillow's pixels and Pillow's refusals, or it is not used."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cytolens.data import jpeg, reading
from cytolens.data.jpeg import decode_jpeg
from cytolens.data.reading import ImageProblem, decode_image


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), float(random.uniform(0.5, 4)))


def written(pixels: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(target, "JPEG", **options)
    return target.getvalue()


def quickly(content: bytes) -> np.ndarray | None:
    with Image.open(io.BytesIO(content)) as image:
        return decode_jpeg(image, content)


def plainly(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_the_pixels_are_those_of_pillow() -> None:
    sides = [(8, 8), (17, 33), (40, 23), (61, 64)]
    for number in range(240):
        options: dict[str, Any] = {
            "quality": 1 + 37 * number % 100,
            "progressive": number % 2 == 1,
            "optimize": number % 3 == 1,
        }
        mode = "L" if number % 8 == 0 else "RGB"
        if mode == "RGB":
            options["subsampling"] = number % 3
        if number % 10 == 0:
            options["restart_marker_blocks"] = 2
        content = written(picture(*sides[number % 4], seed=number), mode, **options)
        found = quickly(content)
        assert found is not None, options
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, plainly(content), str(options))


def test_colours_kept_as_they_are_and_turned_ones() -> None:
    """RGB without conversion; a note that asks to turn the picture is not followed, as ever."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({"keep_rgb": True, "subsampling": 0}, {"exif": exif}):
        content = written(picture(20, 30), **options)
        found = quickly(content)
        assert found is not None
        assert found.shape == (20, 30, 3)
        np.testing.assert_array_equal(found, plainly(content))


def test_what_is_left_to_pillow() -> None:
    pixels = picture(20, 24)
    content = written(pixels)
    assert quickly(content) is not None
    assert quickly(content[:-40]) is None  # cut off
    assert quickly(content + b"\0") is None
    assert quickly(written(pixels, "CMYK")) is None
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    assert quickly(target.getvalue()) is None
    np.testing.assert_array_equal(decode_image(Path("x"), content + b"\0"), plainly(content))


def test_an_opencv_with_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(picture(20, 24))
    other = cv2.imdecode
    monkeypatch.setattr(jpeg.cv2, "imdecode", lambda *given: other(*given) ^ 1)
    jpeg._same_as_pillow.cache_clear()
    try:
        assert quickly(content) is None
        np.testing.assert_array_equal(decode_image(Path("x"), content), plainly(content))
    finally:
        monkeypatch.undo()
        jpeg._same_as_pillow.cache_clear()
    assert quickly(content) is not None


def _byte(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[int(random.integers(2, len(content) - 2))] = int(random.integers(256))
    return bytes(changed)


def _inside(content: bytes, random: np.random.Generator) -> int:
    """Return a place in the second half, which is the scan of these files."""
    return int(random.integers(len(content) // 2, len(content) - 300))


def _other_file(content: bytes, random: np.random.Generator) -> bytes:
    return content[: _inside(content, random)] + content


def _head_of_another(content: bytes, random: np.random.Generator) -> bytes:
    at = _inside(content, random)
    return content[:at] + content[:256] + content[at + 256 :]


def _random_block(content: bytes, random: np.random.Generator) -> bytes:
    at = _inside(content, random)
    return content[:at] + random.bytes(256) + content[at + 256 :]


def _full_block(content: bytes, random: np.random.Generator) -> bytes:
    at = _inside(content, random)
    return content[:at] + b"\xff" * 64 + content[at + 64 :]


def _tail(content: bytes, random: np.random.Generator) -> bytes:
    return content[:-2] + random.bytes(200) + content[-2:]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "damage", [_byte, _other_file, _head_of_another, _random_block, _full_block, _tail]
)
def test_damaged_files_come_out_as_before(
    monkeypatch: pytest.MonkeyPatch, damage: Any, progressive: bool
) -> None:
    """Damage within, a right end: the same pixels, or refused by both."""

    def outcome(content: bytes) -> np.ndarray | None:
        try:
            return decode_image(Path("x"), content)
        except ImageProblem:
            return None

    random = np.random.default_rng(7)
    whole = [written(picture(64, 64, n), quality=90, progressive=progressive) for n in range(40)]
    damaged = [damage(content, random) for content in whole]
    assert all(quickly(content) is not None for content in whole)
    found = [outcome(content) for content in damaged]
    monkeypatch.setattr(reading, "decode_jpeg", lambda *_: None)
    for content, one in zip(damaged, found, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(outcome(content)))
