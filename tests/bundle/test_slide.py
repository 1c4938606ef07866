"""Slides: tissue is found, tiles are scored where it lies, and memory stays bounded."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fake_predictor import FakePredictor
from PIL import Image

from cytolens.bundle import fields, tiff_field
from cytolens.bundle.field import ArrayField, FieldProblem, plausible
from cytolens.bundle.fields import SlideField, is_slide, open_field
from cytolens.bundle.slide import read_tile, score_field
from cytolens.bundle.slide_folder import finished_slide, write_slide
from cytolens.bundle.tiff_field import TiffField
from cytolens.bundle.tiling import plan_tiles
from cytolens.bundle.tissue import find_tissue, pick_level, read_scaled
from cytolens.core.errors import InputError

RED, BLUE, GLASS = (200, 40, 60), (70, 60, 190), (244, 243, 245)


def smear(width: int = 960, height: int = 720) -> Any:
    """Glass with a red block at the left top (192 x 192 at 96, 96) and a blue one below."""
    noise = np.random.default_rng(0).integers(-6, 7, (height, width, 3))
    image = np.full((height, width, 3), GLASS) + noise
    image[96:288, 96:288] = np.array(RED) + noise[96:288, 96:288]
    image[480:576, 480:672] = np.array(BLUE) + noise[480:576, 480:672]
    return np.clip(image, 0, 255).astype(np.uint8)


SMEAR = smear()


def write_pyramid(path: Path, image: Any = SMEAR, um_per_px: float = 0.25, **options: Any) -> Path:
    resolution = (10_000 / um_per_px,) * 2
    with tifffile.TiffWriter(path) as target:
        for i, step in enumerate((1, 4)):
            target.write(
                image[::step, ::step], tile=(128, 128), photometric="rgb", subfiletype=int(i > 0),
                resolution=resolution, resolutionunit="CENTIMETER", **options,
            )  # fmt: skip
    return path


def slow_reading(image: Any, x: int, y: int, width: int, height: int) -> Any:
    """A region pixel by pixel, white outside."""
    found = np.full((height, width, 3), 255, np.uint8)
    for row in range(height):
        for column in range(width):
            if 0 <= y + row < image.shape[0] and 0 <= x + column < image.shape[1]:
                found[row, column] = image[y + row, x + column]
    return found


REGIONS = [(0, 0, 7, 5), (100, 90, 60, 70), (-3, -4, 9, 9), (950, 710, 20, 20), (960, 0, 4, 4),
           (-20, 5, 8, 8), (127, 127, 3, 3)]  # fmt: skip


def test_fields_read_what_is_there(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", compression="zlib")
    strips = tmp_path / "strips.tif"
    tifffile.imwrite(strips, SMEAR, photometric="rgb", rowsperstrip=50)
    grey = tmp_path / "grey.tif"
    tifffile.imwrite(grey, SMEAR[..., 0], photometric="minisblack", tile=(64, 64))
    three = np.dstack([SMEAR[..., 0]] * 3)
    for large, image in (
        (ArrayField(SMEAR), SMEAR),
        (TiffField(path), SMEAR),
        (SlideField(path), SMEAR),
        (open_field(strips), SMEAR),
        (TiffField(grey), three),
    ):
        assert large.size == (960, 720)
        for region in REGIONS:
            expected = slow_reading(image, *region)
            assert np.array_equal(large.read(*region), expected), (type(large), region)
        large.close()


@pytest.mark.parametrize("kind", [TiffField, SlideField])
def test_levels(tmp_path: Path, kind: Any) -> None:
    large = kind(write_pyramid(tmp_path / "a.tif"))
    assert large.downsamples == (1.0, 4.0) and large.um_per_px == pytest.approx(0.25)
    found = large.read(96, 96, 48, 48, 1)
    assert np.array_equal(found, SMEAR[96:288:4, 96:288:4])
    with pytest.raises(InputError) as caught:
        large.read(0, 0, 8, 8, 2)
    assert str(caught.value) == (
        f"{tmp_path}/a.tif has no level 2.\nExpected: one of 0 (1/1), 1 (1/4)"
    )
    assert [pick_level(large, s) for s in (0.5, 1, 3.9, 4, 100)] == [0, 0, 0, 1, 1]
    large.close()


def test_what_is_a_slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid = write_pyramid(tmp_path / "pyramid.tif")
    flat, text = tmp_path / "flat.tif", tmp_path / "text.tif"
    tifffile.imwrite(flat, SMEAR, photometric="rgb", tile=(128, 128))
    text.write_text("no image")
    svs = tmp_path / "a.SVS"
    svs.touch()
    assert [is_slide(p) for p in (pyramid, svs)] == [True, True]
    assert [is_slide(p) for p in (flat, text, tmp_path / "none.svs")] == [False] * 3
    monkeypatch.setattr(fields, "MAX_PIXELS", 960 * 720 - 1)
    assert is_slide(flat), "too large to read at once"


def test_the_scale_of_a_picture_program_is_none() -> None:
    assert [plausible(v) for v in ("0.25", 10, None, "", "x", 352.8, 0, "nan")] == [
        0.25, 10, None, None, None, None, None, None,
    ]  # fmt: skip


def _text(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_field(path)
    return str(caught.value)


def test_what_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = tmp_path / "a.svs"
    assert _text(slide) == f"{slide} does not exist."
    slide.write_bytes(b"no slide")
    assert _text(slide) == f"{slide} is not a slide that OpenSlide can read, or is damaged."
    deep, tiff = tmp_path / "deep.tif", tmp_path / "a.tif"
    tifffile.imwrite(deep, np.zeros((64, 64, 3), np.uint16), photometric="rgb", rowsperstrip=8)
    assert "is not an 8-bit RGB or grey image (uint16, 3 channels a pixel)." in _text(deep)
    tiff.write_bytes(b"II*\0 no more")
    assert _text(tiff) == f"{tiff} is not a TIFF file, or is damaged."
    monkeypatch.setattr(tiff_field, "_WHOLE", 1000)
    tifffile.imwrite(tiff, SMEAR, photometric="rgb", rowsperstrip=720)
    assert "is stored in pieces of 960 x 720 pixels, too large to read a part." in _text(tiff)
    monkeypatch.setattr(fields, "_openslide", lambda: None)
    assert "pip install 'cytolens[slides]'" in _text(slide)


def test_without_openslide_compression_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(SMEAR).save(path, compression="tiff_lzw")
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    monkeypatch.setattr(fields, "_openslide", lambda: None)
    assert f"{path} cannot be read by tiles here (compression: LZW).\nWay out: install" in _text(
        path
    )


# Tissue and tiles


def test_tissue_is_what_is_stained() -> None:
    found = find_tissue(ArrayField(SMEAR), side=240)
    assert found.stained.shape == (180, 240) and found.shrink == 4 and found.note == ""
    expected = np.zeros((180, 240), bool)
    expected[24:72, 24:72] = expected[120:144, 120:168] = True
    assert (found.stained != expected).mean() < 0.01


def test_pale_tissue_is_not_lost_beside_dark() -> None:
    """A field that is all tissue: Otsu's threshold alone would call the paler half glass."""
    image = np.full((200, 200, 3), (215, 170, 200), np.uint8)
    image[:, 100:] = (110, 20, 120)
    assert find_tissue(ArrayField(image)).stained.all()


def test_a_slide_without_colour_is_judged_by_brightness() -> None:
    image = np.full((100, 100, 3), 240, np.uint8)
    image[:50] = 90
    found = find_tissue(ArrayField(image))
    assert found.stained[:49].all() and not found.stained[51:].any()
    assert found.note == "the slide has no colour: dark is tissue"


def test_reading_at_a_scale_averages_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    large = ArrayField(SMEAR)
    expected = SMEAR.reshape(90, 8, 120, 8, 3).mean(axis=(1, 3))
    for block in (4096, 100, 64):
        monkeypatch.setattr("cytolens.bundle.tissue._BLOCK", block)
        found = read_scaled(large, 0, 0, (960, 720), (120, 90))
        assert np.abs(found - expected).max() <= 1.01, block


def test_the_grid_covers_the_field_and_keeps_tissue() -> None:
    large = ArrayField(SMEAR)
    grid = plan_tiles(large, find_tissue(large), (96, 96))
    assert (grid.columns, grid.rows) == (10, 8)
    assert grid.chosen.tolist() == [[1, 1], [2, 1], [1, 2], [2, 2], [5, 5], [6, 5]]
    assert grid.corner(0) == (96, 96) and grid.notes[0].startswith("tiles are made of pixels as")
    assert len(plan_tiles(large, None, (96, 96)).chosen) == 80
    odd = plan_tiles(large, None, (100, 100))
    assert (odd.columns, odd.rows) == (10, 8)
    assert np.array_equal(read_tile(large, odd, 79), slow_reading(SMEAR, 900, 700, 100, 100))


def test_tiles_at_a_wanted_scale() -> None:
    large = ArrayField(SMEAR)
    large.um_per_px = 0.25
    grid = plan_tiles(large, None, (96, 96), um_per_px=0.5)
    assert grid.span == (192, 192) and grid.um_per_px == 0.5 and grid.notes == ()
    tile = read_tile(large, grid, 0)
    expected = SMEAR[:192, :192].reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(tile - expected).max() <= 1
    enlarged = plan_tiles(large, None, (96, 96), um_per_px=0.125)
    assert enlarged.span == (48, 48) and read_tile(large, enlarged, 0).shape == (96, 96, 3)
    assert enlarged.notes == (
        "scanned at 0.25 µm/px, coarser than the 0.125 asked for: tiles are enlarged and lack "
        "detail",
    )
    large.um_per_px = None
    [note] = plan_tiles(large, None, (96, 96), um_per_px=0.5).notes
    assert note.startswith("the file does not say how large its pixels are")


def test_nothing_stained_is_said() -> None:
    glass = ArrayField(np.full((100, 100, 3), 245, np.uint8))
    with pytest.raises(InputError, match=r"No tissue was found: nothing is stained\.") as caught:
        score_field(FakePredictor(), glass)
    assert "`--whole` scores every tile" in str(caught.value)
    assert len(score_field(FakePredictor(), glass, whole=True).grid.chosen) == 9


# Scores


def test_tiles_are_scored_where_they_lie() -> None:
    predictor = FakePredictor()
    scored = score_field(predictor, ArrayField(SMEAR), tile=96, abnormal=["red"], jobs=3)
    assert scored.labels == ["red"] * 4 + ["blue"] * 2 and predictor.batches == [6]
    heat = scored.heat
    assert heat.shape == (8, 10) and heat.dtype == np.float32
    assert np.isfinite(heat).sum() == 6
    assert heat[1:3, 1:3].min() > 0.9 and heat[5, 5:7].max() < 0.1
    for i, (column, row) in enumerate(scored.grid.chosen):
        part = SMEAR[row * 96 : row * 96 + 96, column * 96 : column * 96 + 96]
        expected = predictor.predict_arrays([part])[0].probabilities["red"]
        assert scored.scores[i] == pytest.approx(expected, abs=1e-6)
    assert set(scored.top(4)) == {0, 1, 2, 3} and scored.top(100)[0] in {0, 1, 2, 3}


def test_without_abnormal_classes_the_score_is_the_entropy() -> None:
    scored = score_field(FakePredictor(), ArrayField(SMEAR), tile=240, whole=True)
    p = scored.probabilities.astype(float)
    expected = [-sum(q * np.log(q) for q in row if q > 0) / np.log(2) for row in p]
    np.testing.assert_allclose(scored.scores, expected, atol=1e-6)
    assert scored.score_text.startswith("uncertainty")


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = FakePredictor()
    score_field(predictor, ArrayField(SMEAR), tile=48, whole=True)
    assert predictor.batches == [64] * 4 + [44] and sum(predictor.batches) == 300
    monkeypatch.setattr("cytolens.bundle.slide._WAITING", 10 * 3 * 48 * 48)
    predictor = FakePredictor()
    score_field(predictor, ArrayField(SMEAR), tile=48, whole=True)
    assert predictor.batches == [10] * 30


def test_an_unknown_class() -> None:
    with pytest.raises(InputError) as caught:
        score_field(FakePredictor(), ArrayField(SMEAR), abnormal=["green"])
    assert str(caught.value) == "The bundle does not know green.\nExpected: blue, red"


class Torn(ArrayField):
    """A field with a hole: the region around (500, 500) cannot be read."""

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> Any:
        if x <= 500 < x + width and y <= 500 < y + height:
            raise FieldProblem("a tile is damaged")
        return super().read(x, y, width, height, level)


def test_a_damaged_tile_does_not_stop_the_rest(tmp_path: Path) -> None:
    large = Torn(SMEAR)
    scored = score_field(FakePredictor(), large, tile=96, abnormal=["red"])
    assert list(scored.problems.values()) == ["is damaged"]
    [bad] = scored.problems
    assert scored.labels[bad] is None and np.isnan(scored.scores[bad])
    assert scored.grid.chosen[bad].tolist() == [5, 5] and bad not in scored.top(99)
    assert any(note.startswith("1 of ") for note in scored.notes)
    content = write_slide(scored, large, tmp_path / "out")
    assert content["unreadable"] == 1
    with pytest.raises(InputError, match="None of 1 tiles could be used: the first is damaged"):
        score_field(FakePredictor(), large, tile=960, whole=True)


def test_a_damaged_file_gives_damaged_tiles(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", compression="zlib")
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        offset = page.dataoffsets[9]  # the second row, second tile: 128…256
    content = bytearray(path.read_bytes())
    content[offset : offset + 20] = b"\xff" * 20
    path.write_bytes(content)
    for kind in (TiffField, SlideField):
        large = kind(path)
        with pytest.raises(FieldProblem, match="is damaged"):
            large.read(130, 130, 50, 50)
        assert np.array_equal(large.read(300, 300, 40, 40), SMEAR[300:340, 300:340]), "goes on"
        scored = score_field(FakePredictor(), large, tile=64, whole=True)
        assert sorted(scored.grid.chosen[list(scored.problems)].tolist()) == [
            [2, 2], [2, 3], [3, 2], [3, 3],
        ]  # fmt: skip
        large.close()


# What is written


def test_the_folder(tmp_path: Path) -> None:
    large = ArrayField(SMEAR)
    scored = score_field(FakePredictor(), large, tile=96, abnormal=["red"])
    about = {"image": "a.tif", "bundle": "0123"}
    folder = tmp_path / "out" / "a.tif"
    content = write_slide(scored, large, folder, top=3, about=about)
    assert sorted(p.name for p in folder.iterdir()) == [
        "gallery", "heatmap.png", "overview.png", "slide.json", "tiles.csv",
    ]  # fmt: skip
    assert json.loads((folder / "slide.json").read_text()) == content
    assert content["n"] == 6 and content["counts"] == {"blue": 2, "red": 4}
    best = sorted(scored.scores.tolist())[-3:]
    assert content["score"]["top_mean"] == pytest.approx(np.mean(best), abs=1e-6)
    assert content["decisions"] == {"clear": 6} and content["unlike_training"] == 0
    with (folder / "tiles.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert [(r["x"], r["y"]) for r in rows][:2] == [("96", "96"), ("192", "96")]
    assert [r["label"] for r in rows] == scored.labels
    assert float(rows[0]["p_red"]) == pytest.approx(scored.probabilities[0, 1], abs=1e-6)
    assert len(content["top"]) == 3
    for tile in content["top"]:
        picture = np.asarray(Image.open(folder / tile["file"]))
        x, y = tile["x"], tile["y"]
        assert np.array_equal(picture, SMEAR[y : y + 96, x : x + 96])
    assert [p.name for p in folder.parent.iterdir()] == ["a.tif"], "nothing is left beside"
    with pytest.raises(InputError, match="exists"):
        write_slide(scored, large, folder)
    assert finished_slide(folder, about) == content
    assert finished_slide(tmp_path / "none", about) is None
    with pytest.raises(InputError, match="was made with another bundle"):
        finished_slide(folder, about | {"bundle": "4567"})


def test_the_pictures_show_the_heat(tmp_path: Path) -> None:
    """The heat map's colours are viridis at the scores, and grey where nothing was scored."""
    large = ArrayField(SMEAR)
    scored = score_field(FakePredictor(), large, tile=96, abnormal=["red"])
    write_slide(scored, large, tmp_path / "out")
    picture = np.asarray(Image.open(tmp_path / "out" / "heatmap.png").convert("RGB")).astype(int)
    colours = [tuple(int(v) for v in c) for c in np.unique(picture.reshape(-1, 3), axis=0)]
    assert (235, 235, 235) in colours
    import matplotlib

    for i in (0, 5):
        expected = np.array(matplotlib.colormaps["viridis"](float(scored.scores[i]))[:3]) * 255
        assert np.abs(np.array(colours) - expected).max(axis=1).min() <= 2


_MEASURE = """
import sys, resource
from pathlib import Path
from cytolens.bundle import Prediction
from cytolens.bundle.fields import open_field
from cytolens.bundle.slide import score_field
class Flat:
    classes, size = ("a", "b"), (224, 224)
    def predict_arrays(self, images, names=None):
        return [Prediction("", "a", {"a": .6, "b": .4}) for _ in images]
large = open_field(Path(sys.argv[1]))
score_field(Flat(), open_field(Path(sys.argv[2])))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scored = score_field(Flat(), large)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(type(large).__name__, len(scored.grid.chosen), (after - before) // 1024)
"""


@pytest.mark.parametrize("tiled", [True, False])
def test_memory_is_bounded(tmp_path: Path, tiled: bool) -> None:
    """6,000 x 6,000 px are 103 MiB; what is held is blocks of them, whatever the field's size."""
    row = np.tile(np.array([RED, BLUE], np.uint8).repeat(100, axis=0), (30, 1))  # [6000, 3]
    image = np.broadcast_to(row, (6000, 6000, 3))
    options: dict[str, Any] = {"tile": (256, 256)} if tiled else {"rowsperstrip": 64}
    path, small = tmp_path / "a.tif", tmp_path / "small.tif"
    tifffile.imwrite(path, image, photometric="rgb", compression="zlib", **options)
    tifffile.imwrite(small, image[:600, :600], photometric="rgb", **options)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, path, small], capture_output=True, text=True, check=True
    )
    kind, tiles, growth = done.stdout.split()
    assert (kind, tiles) == ("SlideField" if tiled else "TiffField", "729")
    assert int(growth) < 100, growth
