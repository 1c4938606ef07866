"""Inputs: whatever is handed in becomes named images, or one sentence each."""

from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import sys
import traceback
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from cytolens.bundle.archive import Archive, Limits
from cytolens.bundle.inputs import Item, open_inputs
from cytolens.core.errors import InputError
from cytolens.data.reading import ImageProblem

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
PATIENT = "SECRET^PATIENT"


def png(pixels: Any = PIXELS) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def names(*paths: Path | str, **options: Any) -> list[str]:
    return [item.name for item in open_inputs(paths, **options)]


def reason(item: Item) -> str:
    with pytest.raises(ImageProblem) as caught:
        item.read()
    return caught.value.reason


def problems(*paths: Path | str, **options: Any) -> dict[str, str]:
    """The problem of each input by name, "" for one that can be read."""
    found = {}
    for item in open_inputs(paths, **options):
        try:
            assert item.read().dtype == np.uint8
            found[item.name] = ""
        except ImageProblem as problem:
            found[item.name] = problem.reason
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two levels of images, and what is none."""
    root = tmp_path / "in"
    for name in ("b.png", "a.png", "deep/deeper/c.PNG", "deep/[1].png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())
    (root / "notes.txt").write_text("no image")
    (root / "more.zip").write_bytes(b"PK")
    return root


def test_files_and_folders_in_order(folder: Path) -> None:
    inside = [f"{folder}/{n}" for n in ("a.png", "b.png", "deep/[1].png", "deep/deeper/c.PNG")]
    assert names(folder) == inside
    assert names(f"{folder}/b.png", folder) == [inside[1], inside[0], *inside[2:]], "once each"
    items = list(open_inputs([folder]))
    assert all(np.array_equal(item.read(), PIXELS) for item in items)
    assert len({item.stamp for item in items}) > 1 and all(item.stamp for item in items)


def test_patterns(folder: Path) -> None:
    assert names(f"{folder}/?.png") == [f"{folder}/a.png", f"{folder}/b.png"]
    assert names(f"{folder}/**/*.PNG") == [f"{folder}/deep/deeper/c.PNG"]
    assert names(f"{folder}/deep/[1].png") == [f"{folder}/deep/[1].png"], "a file of that name"
    [none] = open_inputs([f"{folder}/*.tif"])
    assert reason(none) == "matches no file"


def test_what_does_not_exist_is_a_problem_of_its_own(folder: Path) -> None:
    found = problems(folder / "none.png", folder / "a.png", folder / "none.zip")
    assert list(found.values()) == ["does not exist", "", "does not exist"]


def test_no_images_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        names(tmp_path)
    assert str(caught.value) == ("There are no images.\nExpected: image files or folders")


def test_a_manifest_gives_its_ids(folder: Path) -> None:
    manifest = folder / "list.csv"
    manifest.write_text("image,label\ndeep/deeper/c.PNG,x\na.png,y\n")
    items = list(open_inputs([manifest]))
    assert [item.name for item in items] == ["deep/deeper/c.PNG", "a.png"]
    assert np.array_equal(items[1].read(), PIXELS)
    other = folder / "deep" / "list.csv"
    (folder / "deep" / "a.png").write_bytes(png())
    other.write_text("image,label\na.png,y\ndeeper/c.PNG,x\n")
    assert names(manifest, other)[2:] == [f"{folder}/deep/a.png", "deeper/c.PNG"], "another a.png"
    manifest.write_text("image,note\ndeep/deeper/c.PNG,\na.png,y\n")
    assert names(manifest) == ["deep/deeper/c.PNG", "a.png"], "labels are not needed"
    manifest.write_text("image,label,group\ndeep/deeper/c.PNG,,1\na.png,NaN,\n")
    assert names(manifest) == ["deep/deeper/c.PNG", "a.png"]
    manifest.write_text("picture\na.png\n")
    with pytest.raises(InputError, match="lacks the column image") as caught:
        names(manifest)
    assert "Expected: image; optional: label, group," in str(caught.value)
    manifest.write_text("image,label\na.png,x\n,y\n")
    with pytest.raises(InputError, match=r"1 rows of list.csv have no image \(empty or NaN\)"):
        names(manifest)
    manifest.write_text("image,label\nnone.png,x\n")
    with pytest.raises(InputError, match=r"1 of 1 images of list\.csv do not exist"):
        names(manifest)


# Archives


def pack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def test_an_archive_is_read_and_never_extracted(tmp_path: Path) -> None:
    members = {"x/b.png": png(), "a.png": png(), "notes.txt": b"n", "__MACOSX/._a.png": b"junk"}
    archive = pack(tmp_path / "a.zip", members)
    items = list(open_inputs([archive]))
    assert [item.name for item in items] == [f"{archive}/x/b.png", f"{archive}/a.png"]
    assert all(np.array_equal(item.read(), PIXELS) for item in items)
    assert items[0].path is None and items[0].stamp == items[1].stamp != ""
    assert os.listdir(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    "name", ["../evil.png", "x/../../evil.png", "/evil.png", "C:\\evil.png", "..\\evil.png",
             "\\\\host\\evil.png", "evil.png\0.txt", "../evil.sh"]
)  # fmt: skip
def test_a_name_that_leads_out_makes_the_archive_suspect(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "a.zip"
    plain = "N" * len(name)
    pack(archive, {plain: png(), "good.png": png()})
    archive.write_bytes(archive.read_bytes().replace(plain.encode(), name.encode()))
    assert problems(archive) == {
        str(archive): f"names a file outside of the archive ({name!r}), as an attack would; "
        "none of it is read"
    }


def test_one_bad_member_does_not_stop_the_rest(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("1.png", png())
        target.writestr("nested.zip", b"PK")
        target.writestr(link, "/etc/passwd")
        target.writestr("no.png", b"no image")
        target.writestr("empty.png", b"")
        target.writestr("2.png", png())
    found = {name.rpartition("/")[2]: why for name, why in problems(archive).items()}
    assert found == {
        "1.png": "",
        "nested.zip": "is an archive in an archive; extract it first",
        "link.png": "is a link, not an image",
        "no.png": "is not an image of a known format",
        "empty.png": "is empty (0 bytes)",
        "2.png": "",
    }


def test_an_encrypted_member(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a.png": png()})
    content = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    archive.write_bytes(content)
    [why] = problems(archive).values()
    assert why == "is encrypted; save the archive without a password"


BOMB = "inflates to more than 100 times its size, as an attack would; it is not read"


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a.png": bytes(64 << 20), "b.png": png()})
    assert archive.stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert list(problems(archive).values()) == [BOMB, ""]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def _patch_sizes(archive: Path, size: int) -> None:
    """Let both headers claim another inflated size."""
    content = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + place, size)
    archive.write_bytes(content)


def test_a_header_that_lies_is_not_believed(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a.png": bytes(64 << 20)})
    _patch_sizes(archive, 1000)
    tracemalloc.start()
    try:
        assert list(problems(archive).values()) == ["is damaged in the archive"]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20, "no more than was claimed"
    finally:
        tracemalloc.stop()
    claims_more = pack(tmp_path / "b.zip", {"b.png": png()})
    _patch_sizes(claims_more, 9 << 20)
    assert list(problems(claims_more).values()) == [""], "what it holds is whole"
    _patch_sizes(claims_more, 600 << 20)
    assert list(problems(claims_more).values()) == ["is larger than 512 MiB once inflated"]


def test_bytes_are_counted_while_they_are_inflated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 3 << 20, dtype=np.uint8).tobytes()
    archive = pack(tmp_path / "a.zip", {f"{i}.png": noise for i in range(3)})
    limits = Limits(total=4 << 20)
    assert list(problems(archive, limits=limits).values()) == [
        "is not an image of a known format",
        "lies behind the first 4 MiB of the archive, which is too large",
        "lies behind the first 4 MiB of the archive, which is too large",
    ]
    [first, *_] = problems(archive, limits=Limits(member=2 << 20)).values()
    assert first == "is larger than 2 MiB once inflated"
    [whole] = problems(archive, limits=Limits(members=2)).values()
    assert whole == "holds 3 files (limit 2); split it"


def test_a_member_becomes_a_file_or_nothing(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.png": png(), "bomb.png": bytes(64 << 20)})
    archive = Archive(path, {".png"}, Limits())
    good, bomb = archive.members
    archive.extract(good, tmp_path / "good")
    assert (tmp_path / "good").read_bytes() == png() == archive.read(good)
    with pytest.raises(ImageProblem, match="inflates to more than 100 times"):
        archive.extract(bomb, tmp_path / "bomb")
    content = bytearray(path.read_bytes())
    content[content.index(b"a.png") + 20] ^= 255
    path.write_bytes(content)
    with pytest.raises(ImageProblem, match="is damaged in the archive"):
        Archive(path, {".png"}, Limits()).extract(good, tmp_path / "damaged")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.zip", "good"]


def test_what_is_no_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    for content, why in (
        (b"", "is not a zip archive, or is damaged"),
        (b"PK\x03\x04 no more", "is not a zip archive, or is damaged"),
        (pack(tmp_path / "x", {"a.txt": b"text"}).read_bytes(), "holds no images"),
    ):
        archive.write_bytes(content)
        assert list(problems(archive).values()) == [why]


def test_a_damaged_member(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a.png": png(), "b.png": png()})
    content = bytearray(archive.read_bytes())
    content[60] ^= 255
    archive.write_bytes(content)
    assert list(problems(archive).values()) == ["is damaged in the archive", ""]


def test_every_cut_of_an_archive_is_a_problem(tmp_path: Path) -> None:
    content = pack(tmp_path / "a.zip", {"a.png": png()}).read_bytes()
    cut = tmp_path / "cut.zip"
    for length in range(0, len(content), 97):
        cut.write_bytes(content[:length])
        assert all(problems(cut).values())


# DICOM


def dicom(path: Path, stored: bytes, **elements: Any) -> Path:
    """Write a DICOM file of 24 x 20 pixels, of a patient."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = elements.pop("syntax", ExplicitVRLittleEndian)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.2"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.77.1.2", "1.2.3"
    dataset.PatientName, dataset.PatientID = PATIENT, PATIENT
    usual = {
        "Rows": 20, "Columns": 24, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7,
        "PixelRepresentation": 0,
    }  # fmt: skip
    for name, value in (usual | elements).items():
        if value is not None:
            setattr(dataset, name, value)
    if stored:
        dataset.PixelData = stored
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path: Path) -> Any:
    [item] = open_inputs([path])
    return item.read()


GREY: dict[str, Any] = {"SamplesPerPixel": 1, "PlanarConfiguration": None}


def test_dicom_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    assert np.array_equal(read(dicom(path, PIXELS.tobytes())), PIXELS)
    planes = PIXELS.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read(dicom(path, planes, PlanarConfiguration=1)), PIXELS)
    ybr = np.asarray(Image.fromarray(PIXELS).convert("YCbCr"))
    found = read(dicom(path, ybr.tobytes(), PhotometricInterpretation="YBR_FULL"))
    assert np.abs(found.astype(int) - PIXELS).max() <= 3


def test_dicom_grey(tmp_path: Path) -> None:
    path, grey = tmp_path / "a.dcm", PIXELS[..., 0]
    found = read(dicom(path, grey.tobytes(), PhotometricInterpretation="MONOCHROME2", **GREY))
    assert np.array_equal(found, np.dstack([grey] * 3)) and found.flags.c_contiguous
    turned = read(dicom(path, grey.tobytes(), PhotometricInterpretation="MONOCHROME1", **GREY))
    assert np.array_equal(turned, 255 - found)


def test_dicom_jpeg(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(PIXELS).resize((24, 20)).resize((6, 5)).resize((24, 20)))
    content = io.BytesIO()
    Image.fromarray(smooth).save(content, "JPEG", quality=95, subsampling=0)
    path = dicom(
        tmp_path / "a.dcm", encapsulate([content.getvalue()]), syntax=JPEGBaseline8Bit,
        PhotometricInterpretation="YBR_FULL",
    )  # fmt: skip
    expected = np.asarray(Image.open(io.BytesIO(content.getvalue())))
    assert np.abs(read(path).astype(int) - expected).max() <= 3


def test_dicom_without_a_suffix_and_in_an_archive(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    path = dicom(root / "IM0001", PIXELS.tobytes())
    (root / "README").write_text("no image")
    assert names(root) == [str(path)]
    assert np.array_equal(read(root), PIXELS)
    archive = pack(tmp_path / "a.zip", {"IM.dcm": path.read_bytes()})
    assert np.array_equal(read(archive), PIXELS)


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"NumberOfFrames": 2}, "is a DICOM file of several frames (2); save one of them"),
        (
            {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
             "PhotometricInterpretation": "MONOCHROME2", **GREY},
            "has more than 8 bits a channel, or signs (DICOM, 16 bits); save it as 8-bit",
        ),
        (
            {"PhotometricInterpretation": "PALETTE COLOR", **GREY},
            "has a DICOM colour model that is neither RGB, YBR nor grey; save it as RGB",
        ),
        (
            {"Rows": 60000, "Columns": 60000},
            "is too large to decode at once (60000 x 60000 pixels, limit 89,000,000); "
            "cut it to tiles",
        ),
        ({"Rows": 1, "Columns": 480}, "is only 480 x 1 pixels (at least 8 a side)"),
        ({"Rows": 40}, "is a truncated or damaged DICOM file (ValueError)"),
        ({"Rows": None}, "is a truncated or damaged DICOM file (AttributeError)"),
        (
            {"syntax": "1.2.840.10008.1.2.4.80"},
            "is a DICOM file whose compression cannot be read here; save it uncompressed",
        ),
    ],
)  # fmt: skip
def test_dicom_that_cannot_be_used(tmp_path: Path, elements: dict[str, Any], why: str) -> None:
    pixels = PIXELS.tobytes()
    if "syntax" in elements:
        pixels = encapsulate([pixels])
    [item] = open_inputs([dicom(tmp_path / "a.dcm", pixels, **elements)])
    assert reason(item) == why


def test_dicom_without_an_image(tmp_path: Path) -> None:
    [item] = open_inputs([dicom(tmp_path / "a.dcm", b"")])
    assert reason(item) == "is a DICOM file without an image"


def _damage(content: bytes) -> list[bytes]:
    """Cut and flipped versions of a file's content."""
    random, found = np.random.default_rng(0), []
    for length in range(132, len(content), max(1, len(content) // 25)):
        found.append(content[:length])
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.integers(132, 700, 3):
            damaged[place] = random.integers(256)
        found.append(bytes(damaged))
    return found


def test_no_message_holds_a_patient(tmp_path: Path, capfd: Any, caplog: Any) -> None:
    """Damaged in many ways, a file is an image or a problem, and never speaks."""
    content = dicom(tmp_path / "a.dcm", PIXELS.tobytes()).read_bytes()
    assert PATIENT.encode() in content
    said: list[str] = []
    damaged = tmp_path / "b.dcm"
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for version in _damage(content):
            damaged.write_bytes(version)
            [item] = open_inputs([damaged])
            try:
                item.read()
            except ImageProblem as problem:
                said += traceback.format_exception(problem)
    assert said
    said += [str(warning.message) for warning in heard]
    everything = "".join([*said, caplog.text, *capfd.readouterr()])
    assert "SECRET" not in everything


def test_formats_that_pillow_reads(tmp_path: Path) -> None:
    make: dict[str, Callable[[Path], None]] = {
        kind: lambda path: Image.fromarray(PIXELS).save(path)
        for kind in ("png", "bmp", "tif", "tiff")
    }
    for kind, write in make.items():
        path = tmp_path / f"a.{kind}"
        write(path)
        assert np.array_equal(read(path), PIXELS), kind
    Image.fromarray(PIXELS).save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(read(tmp_path / "a.webp"), PIXELS)
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == PIXELS.shape


def test_a_slide_is_not_read_at_once(tmp_path: Path) -> None:
    slide = tmp_path / "a.svs"
    slide.write_bytes(b"slide")
    [item] = open_inputs([slide])
    assert reason(item) == "is a whole slide, which is scored by tiles into a folder"
    [item] = open_inputs([pack(tmp_path / "a.zip", {"a.svs": b"slide"})])
    assert reason(item) == "is a whole slide inside an archive; extract it"


def test_nothing_here_needs_torch() -> None:
    names = ("inputs", "fields", "slide_folder", "stream", "table", "journal")
    code = "import sys; sys.modules['torch'] = None; " + "".join(
        f"import cytolens.bundle.{name}; " for name in names
    )
    subprocess.run([sys.executable, "-c", code], check=True)
