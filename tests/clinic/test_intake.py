"""The guarded decoder: pixels come out, nothing else; whatever a file does, the next one works."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import socket
import struct
import textwrap
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cytolens.clinic.intake.decoder import Guard, Guards
from cytolens.clinic.intake.names import shown_name
from cytolens.clinic.intake.sources import sources
from cytolens.data.reading import ImageProblem

SECRET = "Garcia Lopez Maria 1980-01-31"


@pytest.fixture(scope="module")
def guards() -> Iterator[Guards]:
    made = Guards(1, seconds=20)
    yield made
    made.close()


def pixels(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), np.uint8)


def png_of(array: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


def read(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)))


def dicom_of(array: NDArray[np.uint8]) -> bytes:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.2"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = SECRET, "MRN-4711"
    dataset.Rows, dataset.Columns = array.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = array.tobytes()
    content = io.BytesIO()
    pydicom.dcmwrite(content, dataset, enforce_file_format=True)
    return content.getvalue()


def test_a_picture_comes_out_with_the_same_pixels(guards: Guards) -> None:
    array = pixels()
    picture = guards.decode("a.png", png_of(array))
    assert np.array_equal(read(picture.png), array)
    assert (picture.width, picture.height) == (60, 40)
    assert read(picture.thumbnail).shape == (40, 60, 3)  # never made larger


def test_the_thumbnail_has_256_pixels_at_most(guards: Guards) -> None:
    picture = guards.decode("a.png", png_of(pixels(300, 700)))
    assert read(picture.thumbnail).shape == (110, 256, 3)


def test_what_a_jpeg_says_beside_its_pixels_is_gone(guards: Guards) -> None:
    image, notes = Image.fromarray(pixels()), Image.Exif()
    notes[0x013B], notes[0x0112] = SECRET, 6  # artist; "turn me"
    notes.get_ifd(0x8825)[1] = SECRET  # GPS
    content = io.BytesIO()
    image.save(content, "JPEG", exif=notes, comment=SECRET.encode(), quality=95)
    assert content.getvalue().count(SECRET.encode()) >= 2
    picture = guards.decode(f"{SECRET}.jpg", content.getvalue())
    for kept in (picture.png, picture.thumbnail):
        assert SECRET.encode() not in kept and b"Exif" not in kept
        assert not Image.open(io.BytesIO(kept)).getexif()
    assert (picture.width, picture.height) == (60, 40)  # as stored, as in training


def test_what_a_png_says_beside_its_pixels_is_gone(guards: Guards) -> None:
    from PIL.PngImagePlugin import PngInfo

    words, content = PngInfo(), io.BytesIO()
    words.add_text("Patient", SECRET)
    Image.fromarray(pixels()).save(content, "PNG", pnginfo=words)
    assert SECRET.encode() in content.getvalue()
    picture = guards.decode("a.png", content.getvalue())
    chunks, at = [], 8
    while at < len(picture.png):
        length, kind = struct.unpack(">I4s", picture.png[at : at + 8])
        chunks.append(kind)
        at += 12 + length
    assert set(chunks) == {b"IHDR", b"IDAT", b"IEND"}


def test_of_dicom_the_pixels_alone_are_kept(guards: Guards) -> None:
    array = pixels()
    content = dicom_of(array)
    assert SECRET.encode() in content
    picture = guards.decode("a.png", content)  # the content decides, not the ending
    assert np.array_equal(read(picture.png), array)
    for kept in (picture.png, picture.thumbnail):
        assert SECRET.encode() not in kept and b"MRN-4711" not in kept


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a not really", "is not an image of a known format"),
        (png_of(pixels())[:300], "truncated or damaged"),
        (dicom_of(pixels())[:-400], "truncated or damaged DICOM"),
        (png_of(pixels(4, 4)), "only 4 x 4 pixels"),
        (b"PK\x03\x04 a zip without its name", "is not an image of a known format"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(guards: Guards, content: bytes, reason: str) -> None:
    with pytest.raises(ImageProblem, match=reason):
        guards.decode("a.png", content)
    assert guards.decode("b.png", png_of(pixels())).width == 60


def bomb(width: int, height: int) -> bytes:
    """A small PNG that says it is very large, and would be."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(3 * width + 1) * 64, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_refused_by_its_size(guards: Guards) -> None:
    started = time.monotonic()
    with pytest.raises(ImageProblem, match="too large to decode at once"):
        guards.decode("a.png", bomb(60_000, 60_000))
    assert time.monotonic() - started < 10


def test_a_slide_is_refused(guards: Guards) -> None:
    with pytest.raises(ImageProblem, match="whole slide"):
        guards.decode("a.svs", b"II*\0")


MISBEHAVING = """
    import os, resource, signal, socket, sys, time
    from cytolens.clinic.intake import guard

    whole = guard.decoded

    def decoded(suffix, content):
        if content == b"sleep":
            time.sleep(600)
        if content == b"die":
            os.kill(os.getpid(), signal.SIGSEGV)
        if content == b"eat":
            kept = bytearray(guard.MEMORY)
        if content == b"write":
            try:
                with open(__file__ + ".written", "w") as target:
                    target.write("x")
            except OSError as error:
                raise guard.Refusal(error.strerror)
        if content.startswith(b"read "):
            try:
                open(content[5:]).read()
            except OSError as error:
                raise guard.Refusal(error.strerror)
            raise guard.Refusal("was read")
        if content.startswith(b"connect "):
            try:
                socket.create_connection(("127.0.0.1", int(content[8:])), timeout=2).close()
            except OSError as error:
                raise guard.Refusal(error.strerror)
            raise guard.Refusal("was connected")
        if content == b"fork":
            raise guard.Refusal(str(resource.getrlimit(resource.RLIMIT_NPROC)))
        if content == b"chatter":
            os.write(1, b"\\x01" * 4096)
            print("hello", flush=True)
        if content == b"environment":
            raise guard.Refusal(" ".join(sorted(os.environ)))
        if content == b"spin":
            while True:
                pass
        return whole(suffix, content)

    guard.decoded = decoded
    if len(sys.argv) == 1:
        guard.main()
"""


@pytest.fixture
def misbehaving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """A guard whose decoder does what its file tells it to."""
    (tmp_path / "misbehaving_guard.py").write_text(textwrap.dedent(MISBEHAVING))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CYTOLENS_SECRET", "do-not-hand-this-on-0123456789abcdef")
    made = Guard(seconds=3, module="misbehaving_guard")
    assert made.decode("a.png", png_of(pixels())).width == 60
    yield made
    made.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"sleep", "takes longer than 3 seconds"),
        (b"spin", "takes longer than 3 seconds"),
        (b"die", "ended the process that decodes it"),
        (b"eat", "takes more memory than an image may"),
    ],
)
def test_a_decoder_that_is_taken_over_is_replaced(
    misbehaving: Guard, content: bytes, reason: str
) -> None:
    with pytest.raises(ImageProblem, match=reason):
        misbehaving.decode("x.png", content)
    assert misbehaving.decode("a.png", png_of(pixels())).width == 60


def test_the_guard_writes_no_file_and_starts_no_process(misbehaving: Guard) -> None:
    with pytest.raises(ImageProblem, match="File too large|Permission denied"):
        misbehaving.decode("x.png", b"write")
    with pytest.raises(ImageProblem, match=r"\(0, 0\)"):
        misbehaving.decode("x.png", b"fork")


def landlock_version() -> int:
    return int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1))


def test_the_guard_reads_no_file_of_ours_and_connects_to_nobody(
    misbehaving: Guard, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if landlock_version() < 4:
        pytest.skip("this kernel has no Landlock, or one without rules for connections")
    secret = tmp_path_factory.mktemp("data") / "secret.key"
    secret.write_text("a secret")
    with pytest.raises(ImageProblem, match="Permission denied"):
        misbehaving.decode("x.png", f"read {secret}".encode())
    with pytest.raises(ImageProblem, match="Permission denied"):
        misbehaving.decode("x.png", b"read /etc/passwd")
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = f"connect {server.getsockname()[1]}".encode()
        with pytest.raises(ImageProblem, match="Permission denied"):
            misbehaving.decode("x.png", asked)
    assert misbehaving.decode("a.dcm", dicom_of(pixels())).width == 60  # what it needs is there


def test_what_a_library_prints_is_no_answer(misbehaving: Guard) -> None:
    with pytest.raises(ImageProblem, match="not an image of a known format"):
        misbehaving.decode("x.png", b"chatter")


def test_the_guard_knows_no_secret(misbehaving: Guard) -> None:
    with pytest.raises(ImageProblem, match="PATH") as refused:
        misbehaving.decode("x.png", b"environment")
    assert "CYTOLENS_SECRET" not in refused.value.reason


def test_a_guard_that_was_killed_meanwhile_is_started_again() -> None:
    guard = Guard()
    try:
        guard.warm()
        assert guard._process is not None
        os.kill(guard._process.pid, signal.SIGKILL)
        assert guard.decode("a.png", png_of(pixels())).width == 60
    finally:
        guard.close()


@pytest.mark.slow
def test_the_largest_image_fits_into_the_guards_memory() -> None:
    flat = np.zeros((9_430, 9_430, 3), np.uint8)
    flat[::7, ::5] = 200
    content = cv2.imencode(".bmp", flat)[1].tobytes()
    del flat
    guard = Guard()
    try:
        picture = guard.decode("a.bmp", content)
    finally:
        guard.close()
    assert (picture.width, picture.height) == (9_430, 9_430)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("cell.png", "cell.png"),
        ("C:\\Users\\doctor\\cell.png", "cell.png"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\x1b[31m\u202egnp.exe", "ab[31mgnp.exe"),
        ("\udcff.png", ".png"),
        ("n\u0303.png", "\u00f1.png"),
        ("", "image"),
        ("folder/", "folder"),
        ("\n", "image"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
        ("x" * 300, "x" * 200),
        ("a." + "x" * 300, "a." + "x" * 198),
    ],
)
def test_names_are_shown_without_what_could_harm(given: str, shown: str) -> None:
    assert shown_name(given) == shown


def test_an_archive_gives_its_members_and_says_what_is_wrong_with_each(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one/cell.png", b"first")
        archive.writestr("readme.txt", b"not an image")
        archive.writestr("large.png", bytes(range(256)) * 8)
        archive.writestr("more.zip", b"PK")
    (tmp_path / "no.zip").write_bytes(b"not a zip")
    found = list(
        sources(
            [("ALL.ZIP", tmp_path / "all.zip"), ("no.zip", tmp_path / "no.zip")],
            file_bytes=1024,
            total_bytes=10_000,
        )
    )
    assert [source.name for source in found] == ["cell.png", "large.png", "more.zip", "no.zip"]
    assert found[0].read() == b"first"
    for source, reason in zip(
        found[1:], ["is larger than", "an archive in an archive", "not a zip archive"], strict=True
    ):
        with pytest.raises(ImageProblem, match=reason):
            source.read()


def test_an_archive_whose_members_lead_out_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../cell.png", b"x")
    [source] = sources([("out.zip", tmp_path / "out.zip")], file_bytes=99, total_bytes=99)
    with pytest.raises(ImageProblem, match="outside of the archive"):
        source.read()


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(2 << 20))
    [source] = sources([("a.png", tmp_path / "a.png")], file_bytes=1 << 20, total_bytes=9)
    with pytest.raises(ImageProblem, match="is larger than 1 MiB"):
        source.read()
