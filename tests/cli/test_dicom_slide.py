"""DICOM whole slides: several files that are one slide, read by OpenSlide."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from cytolens.bundle import fields
from cytolens.bundle.dicom import slide_series
from cytolens.bundle.fields import SlideField, is_slide, open_field
from cytolens.bundle.inputs import read_file
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.reading import ImageProblem, read_image

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
TILE = 64


def picture(phantoms: Path) -> Any:
    """16 phantoms side by side, uint8 [192, 192, 3]."""
    some = [read_image(row.image) for row in read_manifest(phantoms).rows[:16]]
    return np.concatenate([np.concatenate(some[i : i + 4], axis=1) for i in range(0, 16, 4)])


def tiles_of(level: Any) -> list[Any]:
    """The tiles of a level row by row, as TILED_FULL has them, the last ones filled up white."""
    height, width = level.shape[:2]
    found = []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            one = np.full((TILE, TILE, 3), 255, np.uint8)
            part = level[y : y + TILE, x : x + TILE]
            one[: part.shape[0], : part.shape[1]] = part
            found.append(one)
    return found


def as_jpeg(tile: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(tile).save(target, "JPEG", quality=95)
    return target.getvalue()


def write_slide(folder: Path, image: Any, *, jpeg: bool = False, um_per_px: float = 0.5) -> Path:
    """Write a pyramid of two levels, a file each (PS3.3, A.32.8); return the file of the first."""
    folder.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for number, step in enumerate((1, 2)):
        level = image[::step, ::step]
        tiles = tiles_of(level)
        d = Dataset()
        d.SOPClassUID, d.SOPInstanceUID = WHOLE_SLIDE, generate_uid()
        d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = study, series, frame
        d.PatientName, d.Modality = "Secret^Patient", "SM"
        first = ["ORIGINAL", "DERIVED"][number]
        d.ImageType = [first, "PRIMARY", "VOLUME", ["NONE", "RESAMPLED"][number]]
        d.DimensionOrganizationType = "TILED_FULL"
        d.Rows = d.Columns = TILE
        d.TotalPixelMatrixRows, d.TotalPixelMatrixColumns = level.shape[:2]
        d.NumberOfFrames, d.SamplesPerPixel, d.PlanarConfiguration = len(tiles), 3, 0
        d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 8, 8, 7, 0
        d.PhotometricInterpretation = "YBR_FULL_422" if jpeg else "RGB"
        measures, shared, path = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing = [um_per_px * step / 1000] * 2  # mm
        shared.PixelMeasuresSequence = [measures]
        d.SharedFunctionalGroupsSequence = [shared]
        path.OpticalPathIdentifier = "1"
        d.OpticalPathSequence = [path]
        d.PixelData = (
            encapsulate([as_jpeg(t) for t in tiles]) if jpeg else np.stack(tiles).tobytes()
        )
        d["PixelData"].VR = "OB"
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
            d.SOPClassUID,
            d.SOPInstanceUID,
        )
        d.file_meta = meta
        pydicom.dcmwrite(folder / f"level{number}.dcm", d, enforce_file_format=True)
    return folder / "level0.dcm"


@pytest.mark.parametrize("jpeg", [False, True])
def test_a_dicom_slide_is_read_whichever_of_its_files_is_named(
    phantoms: Path, tmp_path: Path, jpeg: bool
) -> None:
    image = picture(phantoms)[:180]  # the last row of tiles is not full
    first = write_slide(tmp_path / "slide", image, jpeg=jpeg)
    second = first.with_name("level1.dcm")
    assert is_slide(first) and slide_series(first) == slide_series(second)
    for path in (first, second):
        large = open_field(path)
        assert isinstance(large, SlideField)
        assert large.size == (192, 180) and large.downsamples == (1.0, 2.0)
        assert large.um_per_px == pytest.approx(0.5)
        found = large.read(30, 50, 100, 80)
        expected = image[50:130, 30:130]
        if jpeg:
            assert np.abs(found.astype(int) - expected).mean() < 5
        else:
            assert (found == expected).all()
            assert (large.read(0, 0, 96, 90, 1) == image[::2, ::2]).all()
            assert (large.read(180, 170, 20, 20)[10:] == 255).all(), "white outside"
        large.close()


def test_its_files_are_one_slide(cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    first = write_slide(tmp_path / "in", picture(phantoms))
    out = tmp_path / "out"
    ended = cli("predict", tiny_run, first.parent, "--out", out, "--whole", "--um-per-px", "0.5")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{first}: 16 tiles, ")
    assert f"{first.with_name('level1.dcm')}: part of the slide {first}" in ended.err
    assert [p.name for p in out.iterdir()] == ["level0.dcm"]
    content = json.loads((out / "level0.dcm" / "slide.json").read_text())
    assert content["size"] == [192, 192] and content["tile"]["um_per_px"] == pytest.approx(0.5)
    assert "Secret" not in (out / "level0.dcm" / "slide.json").read_text()
    again = cli("predict", tiny_run, first.parent, "--out", out, "--whole", "--um-per-px", "0.5")
    assert again.code == 0 and again.out == ended.out


def test_a_dicom_slide_that_cannot_be_scored_is_one_sentence(
    cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_slide(tmp_path / "in", picture(phantoms))
    with pytest.raises(
        ImageProblem, match="is a whole slide, which is scored by tiles into a fold"
    ):
        read_file(first)
    printed = cli("predict", tiny_run, first, "--format", "json")
    assert printed.code == 1
    assert printed.json()[0]["problem"].startswith("is scored by tiles, which need a folder")
    content = bytearray(first.read_bytes())
    start = content.index(b"VOLUME")
    content[start : start + 6] = b"LABEL "  # the picture of a label, and no level
    lone = tmp_path / "lone" / "lone.dcm"
    lone.parent.mkdir()
    lone.write_bytes(content)
    ended = cli("predict", tiny_run, lone, "--out", tmp_path / "out")
    assert ended.code == 1
    assert f"{lone} is not a slide that OpenSlide can read, or is damaged.\n" in ended.err
    monkeypatch.setattr(fields, "_openslide", lambda: None)
    with pytest.raises(InputError, match="needs OpenSlide, which is not installed"):
        open_field(first)


def test_another_dicom_file_is_no_slide(tmp_path: Path, phantoms: Path) -> None:
    first = write_slide(tmp_path / "in", picture(phantoms))
    dataset = pydicom.dcmread(first)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = (
        "1.2.840.10008.5.1.4.1.1.77.1.4"
    )
    other = tmp_path / "photo.dcm"
    dataset.save_as(other)
    assert slide_series(other) is None and not is_slide(other)
    with pytest.raises(ImageProblem, match=r"several frames \(9\)"):
        read_file(other)
    other.write_bytes(other.read_bytes()[:140])
    assert slide_series(other) is None
    other.write_text("no DICOM")
    assert slide_series(other) is None and slide_series(tmp_path / "absent.dcm") is None
