"""Reading: what is converted keeps its picture; what would need a guess is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from cytolens.data.reading import ImageProblem, decode_image, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def _bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def _reason(content: bytes) -> str:
    with pytest.raises(ImageProblem) as caught:
        decode_image(Path("dir/x.png"), content)
    assert str(caught.value) == f"dir/x.png: {caught.value.reason}"
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_colour_images_come_as_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(_bytes(Image.fromarray(PIXELS), kind))
    found = read_image(path)
    assert found.dtype == np.uint8
    assert np.array_equal(found, PIXELS)


def test_grey_and_one_bit() -> None:
    grey = PIXELS[..., 0]
    found = decode_image(Path("x"), _bytes(Image.fromarray(grey)))
    assert np.array_equal(found, np.repeat(grey[..., None], 3, axis=2))
    bits = decode_image(Path("x"), _bytes(Image.fromarray(grey > 127)))
    assert np.array_equal(bits[..., 1], np.where(grey > 127, 255, 0))


def test_a_palette_is_another_form_of_the_same_picture() -> None:
    few = (PIXELS // 128) * 255  # eight colours
    palette = Image.fromarray(few).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    found = decode_image(Path("x"), _bytes(palette))
    assert np.array_equal(found, np.asarray(palette.convert("RGB")))
    assert np.abs(found.astype(int) - few).max() <= 8


def test_opaque_alpha_is_dropped() -> None:
    opaque = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    assert np.array_equal(decode_image(Path("x"), _bytes(Image.fromarray(opaque))), PIXELS)
    grey = Image.fromarray(opaque).convert("LA")
    assert decode_image(Path("x"), _bytes(grey)).shape == (20, 24, 3)


TRANSPARENT = "has transparent pixels (alpha channel); save it without"


def test_transparent_alpha_is_refused() -> None:
    alpha = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    alpha[3, 4, 3] = 254  # one pixel, hardly
    assert _reason(_bytes(Image.fromarray(alpha))) == TRANSPARENT
    assert _reason(_bytes(Image.fromarray(alpha).convert("LA"))) == TRANSPARENT


def test_a_palette_with_a_transparent_colour() -> None:
    palette = Image.fromarray(PIXELS).convert("P")
    used = int(np.asarray(palette)[0, 0])
    assert _reason(_bytes(palette, transparency=used)) == TRANSPARENT
    entries = bytes([255] * used + [0] + [255] * (255 - used))
    assert _reason(_bytes(palette, transparency=entries)) == TRANSPARENT


def test_a_palette_whose_transparent_colour_is_not_used() -> None:
    image = Image.fromarray(np.zeros((9, 9), np.uint8), "L").convert("P")
    unused = next(i for i in range(256) if i not in np.unique(np.asarray(image)))
    assert decode_image(Path("x"), _bytes(image, transparency=unused)).max() == 0


def test_sixteen_bits_are_refused() -> None:
    grey = np.arange(400, dtype=np.uint16).reshape(20, 20) * 100
    assert _reason(_bytes(Image.fromarray(grey))) == (
        "has more than 8 bits a channel (I;16); save it as 8-bit"
    )
    done, colour = cv2.imencode(".png", np.dstack([grey] * 3))
    assert done
    assert _reason(colour.tobytes()) == "has more than 8 bits a channel (RGB); save it as 8-bit"
    done, tiff = cv2.imencode(".tif", np.dstack([grey] * 3))
    assert done
    assert _reason(tiff.tobytes()) == "has more than 8 bits a channel (RGB); save it as 8-bit"
    real = Image.fromarray(grey.astype(np.float32))
    assert _reason(_bytes(real, "TIFF")) == "has more than 8 bits a channel (F); save it as 8-bit"


def test_other_colour_modes_are_refused() -> None:
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    assert _reason(_bytes(cmyk, "JPEG")) == "is CMYK (made for print); save it as RGB"
    lab = Image.fromarray(PIXELS, "LAB")
    assert _reason(_bytes(lab, "TIFF")) == "has the colour mode LAB; save it as RGB"


def test_several_frames_are_refused() -> None:
    frames = [Image.fromarray(np.full((16, 16, 3), v, np.uint8)) for v in (0, 99, 200)]
    for kind in ("GIF", "TIFF", "PNG"):
        content = _bytes(frames[0], kind, save_all=True, append_images=frames[1:])
        assert _reason(content) == (
            "has several frames (animated or multi-page); save one of them"
        ), kind
    assert decode_image(Path("x"), _bytes(frames[1], "GIF")).mean() == 99


def test_too_small() -> None:
    one = Image.fromarray(np.zeros((1, 1, 3), np.uint8))
    assert _reason(_bytes(one)) == "is only 1 x 1 pixels (at least 8 a side)"
    thin = Image.fromarray(np.zeros((7, 900, 3), np.uint8))
    assert _reason(_bytes(thin)) == "is only 900 x 7 pixels (at least 8 a side)"
    assert decode_image(Path("x"), _bytes(Image.new("RGB", (8, 8)))).shape == (8, 8, 3)


def _claims(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its (small) content does not have."""

    def chunk(name: bytes, data: bytes) -> bytes:
        code = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + code

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(20000, 20000, "over 89,000,000"), (10001, 10000, "10001 x 10000")],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_never_decoded(width: int, height: int, size: str) -> None:
    content = _claims(width, height)
    tracemalloc.start()
    try:
        reason = _reason(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason == (
        f"is too large to decode at once ({size} pixels, limit 89,000,000); cut it to tiles"
    )
    assert peak < 2**20  # the header alone


def test_the_bomb_is_not_allocated_by_the_decoder_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own buffers do not show in tracemalloc: no load may even begin."""

    def fail(*_: object) -> None:
        raise AssertionError("decoding began")

    monkeypatch.setattr(Image.core, "new", fail)
    monkeypatch.setattr(Image.core, "fill", fail)
    assert "too large" in _reason(_claims(20000, 20000))
    assert "too large" in _reason(_claims(12000, 10000))


def test_files_that_are_no_images(tmp_path: Path) -> None:
    assert _reason(b"image,label\na.png,k\n") == "is not an image of a known format"
    path = tmp_path / "a.png"
    for make, reason in (
        (lambda: None, "does not exist"),
        (path.touch, "is empty (0 bytes)"),
        (lambda: (path.unlink(), path.mkdir()), "cannot be read (Is a directory)"),
    ):
        make()
        with pytest.raises(ImageProblem) as caught:
            read_image(path)
        assert str(caught.value) == f"{path}: {reason}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_every_truncation_is_an_image_problem(kind: str) -> None:
    content = _bytes(Image.fromarray(PIXELS), kind)
    lengths = range(1, int(len(content) * 0.95), max(1, len(content) // 60))
    reasons = {_reason(content[:n]) for n in lengths}
    assert any(reason.startswith("is truncated or damaged (") for reason in reasons)


def test_a_jpeg_cut_in_half_says_so() -> None:
    content = _bytes(Image.fromarray(PIXELS), "JPEG")
    assert _reason(content[: len(content) // 2 + 200]).startswith(
        "is truncated or damaged (image file is truncated ("
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
def test_damaged_bytes_give_an_image_or_a_problem(kind: str) -> None:
    """Nothing else may come out of a damaged file (Pillow raises a dozen kinds of error)."""
    random = np.random.default_rng(1)
    content = _bytes(Image.fromarray(PIXELS), kind)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, min(len(damaged), 300), 3):
            damaged[place] = random.integers(256)
        try:
            image = decode_image(Path("x"), bytes(damaged))
        except ImageProblem:
            continue
        assert image.dtype == np.uint8
        assert image.ndim == 3


def test_a_second_page_without_dimensions_is_damage() -> None:
    content = bytearray(_bytes(Image.fromarray(PIXELS), "TIFF"))
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<I", content, directory + 2 + 12 * entries, len(content))
    reason = _reason(bytes(content) + bytes(6))  # a page with nothing in it
    assert reason == "is truncated or damaged (Missing dimensions)"


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    """Pillow's warnings are silenced inside, and only inside, however threads overlap."""
    palette = Image.new("P", (300, 300))
    content = _bytes(palette, transparency=bytes([255] * 256))
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: decode_image(Path("x"), content), range(200)))
    assert len(images) == 200
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
