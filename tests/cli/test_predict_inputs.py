"""`cytolens predict`: what it takes, where it writes, and how it goes on."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import tifffile

from cytolens.bundle import Bundle, Ensemble, stream
from cytolens.bundle import slide as slide_module
from cytolens.bundle.assessment import Assessment
from cytolens.bundle.export import export_bundle
from cytolens.bundle.save import amend_bundle
from cytolens.data.loading import read_manifest
from cytolens.data.reading import read_image


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BATCH", 8)


@pytest.fixture
def images(phantoms: Path) -> Path:
    return phantoms / "images"


@pytest.fixture
def second_bundle(tiny_run: Path, tmp_path: Path) -> Path:
    """The same network, calibrated in another way."""
    folder = shutil.copytree(tiny_run / "bundle", tmp_path / "second")
    amend_bundle(folder, calibration={"method": "temperature", "parameters": {"temperature": 0.05}})
    return folder


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_file_holds_what_would_be_printed(
    cli: Any, tiny_run: Path, images: Path, tmp_path: Path, format: str
) -> None:
    printed = cli("predict", tiny_run, images, "--format", format)
    file = tmp_path / "new" / f"p.{format}"
    written = cli("predict", tiny_run, images, "--out", file)
    assert (written.code, written.out) == (0, "") and "predicting: 36 done" in written.err
    assert file.read_text() == printed.out
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    again = cli("predict", tiny_run, images, "--out", tmp_path / "folder", "--format", format)
    assert again.code == 0
    assert (tmp_path / "folder" / f"predictions.{format}").read_text() == printed.out


def test_parquet(cli: Any, tiny_run: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    assert cli("predict", tiny_run, images, "--out", file).code == 0
    rows = pyarrow.parquet.read_table(file).to_pylist()
    printed = cli("predict", tiny_run, images, "--format", "json").json()
    assert [row["label"] for row in rows] == [one["label"] for one in printed]
    assert rows[5]["p_SCC"] == printed[5]["probabilities"]["SCC"]


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_a_kill_changes_nothing(
    cli: Any, tiny_run: Path, images: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, format: str,
) -> None:  # fmt: skip
    """The same command goes on where it was cut off, and ends with the same file, byte for byte."""
    whole, cut = tmp_path / f"whole.{format}", tmp_path / f"cut.{format}"
    assert cli("predict", tiny_run, images, "--out", whole).code == 0
    calls, usual = [], Assessment.predictions

    def stop(self: Assessment, names: Any, *rest: Any) -> Any:
        calls.append(len(names))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return usual(self, names, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Assessment, "predictions", stop)
        assert cli("predict", tiny_run, images, "--out", cut).code == 130
    partial = tmp_path / f".cut.{format}.partial"
    assert not cut.exists() and len(partial.read_bytes().splitlines()) == 17
    partial.write_bytes(partial.read_bytes()[:-20])  # the kill came within a line
    calls.clear()
    ended = cli("predict", tiny_run, images, "--out", cut, "--resume")
    assert ended.code == 0 and "Going on after 15 of 36 images." in ended.err
    assert "predicting: 28 done" in ended.err
    assert cut.read_bytes() == whole.read_bytes() and not partial.exists()


def test_resume_adds_what_is_missing(
    cli: Any, tiny_run: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    first, second = images / "NILM", images / "SCC"
    assert cli("predict", tiny_run, first, "--out", file).code == 0
    before = file.read_text()
    refused = cli("predict", tiny_run, first, "--out", file)
    assert refused.code == 1 and f"{file} exists." in refused.err
    assert "`--resume` keeps its rows" in refused.err
    file.write_text(before[:-3])  # half of the last line is lost
    added = cli("predict", tiny_run, first, second, "--out", file, "--resume")
    assert added.code == 0 and f"8 images are in {file} already." in added.err
    assert "predicting: 10 done" in added.err
    after = file.read_text().splitlines()
    assert after[: len(before.splitlines())] == before.splitlines() and len(after) == 1 + 18
    nothing = cli("predict", tiny_run, first, second, "--out", file, "--resume")
    assert nothing.code == 0 and file.read_text().splitlines() == after


def test_a_table_of_another_bundle_is_not_added_to(
    cli: Any, tiny_run: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    assert cli("predict", tiny_run, images / "NILM", "--out", file).code == 0
    rows = json.loads(file.read_text())
    rows[0]["probabilities"] = dict.fromkeys(rows[0]["probabilities"], 0.25)
    file.write_text(json.dumps(rows))
    ended = cli("predict", tiny_run, images, "--out", file, "--resume")
    assert ended.code == 1 and "The table was made by another bundle: it calls" in ended.err
    assert json.loads(file.read_text()) == rows


def test_archives_patterns_and_manifests(
    cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path
) -> None:
    some = [row.image for row in read_manifest(phantoms).rows[:3]]
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in some:
            target.write(path, path.name)
        target.writestr("bad.png", b"no image")
    plain = cli("predict", tiny_run, *some, "--format", "json").json()
    ended = cli("predict", tiny_run, archive, "--format", "json")
    assert ended.code == 1 and "1 of 4 files could not be used." in ended.err
    *found, bad = ended.json()
    assert [one["probabilities"] for one in found] != [] and bad["problem"] == (
        "is not an image of a known format"
    )
    for one, other in zip(plain, found, strict=True):
        assert other["image"] == f"{archive}/{Path(one['image']).name}"
        assert other["probabilities"] == pytest.approx(one["probabilities"], abs=1e-6)
    pattern = cli("predict", tiny_run, f"{phantoms}/images/*/*.png", "--format", "json").json()
    assert len(pattern) == 36
    listed = cli("predict", tiny_run, phantoms / "manifest.csv", "--format", "json").json()
    assert [one["image"] for one in listed] == list(read_manifest(phantoms).ids)


def field(path: Path, phantoms: Path) -> Path:
    """A tiled, pyramidal TIFF of 16 phantoms."""
    some = [read_image(row.image) for row in read_manifest(phantoms).rows[:16]]
    image = np.concatenate([np.concatenate(some[i : i + 4], axis=1) for i in range(0, 16, 4)])
    with tifffile.TiffWriter(path) as target:
        for i, step in enumerate((1, 2)):
            target.write(image[::step, ::step], tile=(64, 64), photometric="rgb",
                         subfiletype=int(i > 0))  # fmt: skip
    return path


def test_slides_and_images_together(
    cli: Any, tiny_run: Path, phantoms: Path, images: Path, tmp_path: Path
) -> None:
    root = tmp_path / "in"
    shutil.copytree(images / "NILM", root)
    slide = field(root / "slide.tif", phantoms)
    out = tmp_path / "out"
    ended = cli("predict", tiny_run, root, "--out", out, "--top", "3", "--whole")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{slide}: 16 tiles, ") and str(out / "slide.tif") in ended.out
    assert "tiles are made of pixels as scanned: no scale was asked for" in ended.err
    table = (out / "predictions.csv").read_text().splitlines()
    assert len(table) == 1 + 9 and not any("slide.tif" in line for line in table)
    content = json.loads((out / "slide.tif" / "slide.json").read_text())
    assert content["n"] == 16 and len(content["top"]) == 3
    assert content["settings"] == {"tile": None, "um_per_px": None, "whole": True, "top": 3}
    stamp = (out / "slide.tif" / "slide.json").stat().st_mtime_ns
    kept = cli("predict", tiny_run, slide, "--out", out, "--top", "3", "--whole")
    assert kept.code == 0 and (out / "slide.tif" / "slide.json").stat().st_mtime_ns == stamp
    other = cli("predict", tiny_run, slide, "--out", out, "--top", "4", "--whole")
    assert other.code == 1 and "was made with another settings" in other.err


def test_a_kill_within_a_slide_changes_nothing(
    cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole slides are skipped; one that was cut off goes on behind its last whole batch."""
    monkeypatch.setattr(slide_module, "_BATCH", 3)
    first, second = (field(tmp_path / f"{name}.tif", phantoms) for name in "ab")
    words = (first, second, "--um-per-px", "0.5", "--whole")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert cli("predict", tiny_run, *words, "--out", whole).code == 0
    calls, usual = [], Bundle.predict_arrays

    def stop(self: Bundle, some: Any, names: Any = None) -> Any:
        calls.append(len(some))
        if len(calls) == 9:  # 6 batches of the first slide, and 2 of the second
            raise KeyboardInterrupt
        return usual(self, some, names)

    with monkeypatch.context() as patch:
        patch.setattr(Bundle, "predict_arrays", stop)
        assert cli("predict", tiny_run, *words, "--out", cut).code == 130
    partial = cut / ".b.tif.partial"
    assert sorted(p.name for p in cut.iterdir()) == [".b.tif.partial", "a.tif"]
    assert len(partial.read_bytes().splitlines()) == 1 + 2
    left = partial.read_bytes()
    other = cli("predict", tiny_run, second, "--tile", "24", "--out", cut)
    assert other.code == 1 and "or what was predicted with other settings" in other.err
    partial.write_bytes(left + b"[[6, [0.1")  # the kill came within a line
    ended = cli("predict", tiny_run, *words, "--out", cut, "--resume")
    assert ended.code == 0, ended.err
    assert f"{second}: going on after 6 tiles." in ended.err and "b.tif: 10 done" in ended.err
    assert "a.tif: 16 done" not in ended.err and not partial.exists()
    for name in ("tiles.csv", "slide.json", "heatmap.png", "overview.png"):
        for slide in ("a.tif", "b.tif"):
            assert (cut / slide / name).read_bytes() == (whole / slide / name).read_bytes()
    shutil.rmtree(cut / "b.tif")
    lines = left.splitlines(keepends=True)
    for torn in (lines[0] + lines[2], lines[0] + b"7\n", lines[0] + b"[[1, 2, 3, 4, 5, 6]]\n"):
        partial.write_bytes(torn)
        damaged = cli("predict", tiny_run, *words, "--out", cut)
        assert damaged.code == 1 and f"{partial} is damaged." in damaged.err


def test_a_slide_without_tissue_leaves_nothing(cli: Any, tiny_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "glass.tif"
    with tifffile.TiffWriter(path) as target:
        for i, step in enumerate((1, 2)):
            glass = np.full((192 // step, 192 // step, 3), 244, np.uint8)
            target.write(glass, tile=(64, 64), photometric="rgb", subfiletype=int(i > 0))
    out = tmp_path / "out"
    ended = cli("predict", tiny_run, path, "--out", out)
    assert ended.code == 1 and "No tissue was found" in ended.err
    assert not list(out.iterdir())
    assert cli("predict", tiny_run, path, "--out", out, "--whole").code == 0


def test_slides_need_a_folder(cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    slide = field(tmp_path / "slide.tif", phantoms)
    ended = cli("predict", tiny_run, slide, phantoms / "images" / "SCC", "--format", "json")
    assert ended.code == 1 and len(ended.json()) == 10
    assert ended.json()[0]["problem"] == (
        "is scored by tiles, which need a folder to write to: --out FOLDER"
    )
    bad = tmp_path / "bad.svs"
    bad.write_bytes(b"no slide")
    out = tmp_path / "out"
    mixed = cli("predict", tiny_run, bad, phantoms / "images" / "SCC", "--out", out)
    assert mixed.code == 1 and "1 of 10 files could not be used." in mixed.err
    assert f"\n{bad} is not a slide that OpenSlide can read, or is damaged.\n" in "\n" + mixed.err
    assert len((out / "predictions.csv").read_text().splitlines()) == 10


def test_any_image_by_tiles(cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    image = read_manifest(phantoms).rows[0].image
    ended = cli("predict", tiny_run, image, "--tiles", "--tile", 24, "--whole", "--out", tmp_path)
    assert ended.code == 0 and not (tmp_path / "predictions.csv").exists()
    content = json.loads((tmp_path / image.name / "slide.json").read_text())
    assert content["n"] == 4 and content["tile"]["span"] == [24, 24]
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(image, "x/inside.png")
        target.writestr("bad.png", b"no image")
    options = ("--tiles", "--tile", 24, "--whole", "--out", tmp_path)
    ended = cli("predict", tiny_run, archive, tmp_path / "none.png", *options)
    assert ended.code == 1 and "2 of 3 files could not be used." in ended.err
    assert f"{archive}/bad.png: is not an image of a known format\n" in ended.err
    assert f"{tmp_path}/none.png does not exist.\n" in ended.err
    inside = json.loads((tmp_path / "inside.png" / "slide.json").read_text())
    assert inside["counts"] == content["counts"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xml"], "'xml' is none of csv, json, parquet."),
        (["--format", "parquet"], "parquet needs a file: --out."),
        (["--out", "p.txt"], "p.txt ends with none of .csv, .json, .parquet."),
        (["--out", "p.csv", "--format", "json"], "p.csv is not json."),
        (["--resume"], "--resume has no effect without --out."),
        (["--top", "3"], "--top has no effect without a folder: --out FOLDER."),
        (["--um-per-px", "1", "--out", "p.csv"], "--um-per-px has no effect without a folder"),
        (["--tiles"], "--tiles has no effect without a folder"),
    ],
)
def test_wrong_usage(cli: Any, options: list[str], said: str) -> None:
    ended = cli("predict", "bundle", "image.png", *options)
    assert ended.code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())


def _probabilities(ended: Any) -> Any:
    return np.array([list(one["probabilities"].values()) for one in ended.json()])


def test_runtimes_and_precisions(cli: Any, tiny_run: Path, images: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(tiny_run / "bundle", tmp_path / "bundle")
    export_bundle(bundle, "onnx", "openvino")
    words = ("predict", bundle, images / "SCC", "--format", "json")
    plain = _probabilities(cli(*words))
    for name in ("openvino", "onnx", "torch"):
        np.testing.assert_allclose(
            _probabilities(cli(*words, "--runtime", name)), plain, atol=1e-4, err_msg=name
        )
    rough = _probabilities(cli(*words, "--precision", "bf16"))
    np.testing.assert_allclose(rough, plain, atol=0.1)
    missing = cli(*words, "--precision", "int8")
    assert missing.code == 1 and "the bundle holds no openvino_int8.xml" in missing.err
    missing = cli("predict", tiny_run, images, "--runtime", "openvino")
    assert missing.code == 1 and "openvino: the bundle holds no openvino.xml" in missing.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--runtime", "tensorrt"), "'tensorrt' is none of auto, openvino, onnx, torch."),
        (("--precision", "fp16"), "'fp16' is none of f32, bf16, int8."),
        (("--runtime", "onnx", "--precision", "bf16"), "onnx computes in f32 alone; bf16 takes "),
        (("--runtime", "torch", "--precision", "int8"), "torch computes in f32 alone; int8 takes "),
    ],
)
def test_runtimes_that_do_not_go_together(
    cli: Any, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """Said before anything is opened."""
    refused = cli("predict", tmp_path / "none", tmp_path / "x.png", *options)
    assert refused.code == 2 and refused.out == ""
    assert said in " ".join(refused.err.replace("│", " ").split())


def test_several_bundles_as_one(
    cli: Any, tiny_run: Path, second_bundle: Path, images: Path
) -> None:
    words = (images / "SCC", "--format", "json")
    alone = [_probabilities(cli("predict", one, *words)) for one in (tiny_run, second_bundle)]
    both = cli("predict", tiny_run, *words, "--also", second_bundle)
    assert both.code == 0 and np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(_probabilities(both), (alone[0] + alone[1]) / 2, atol=1e-5)
    twice = cli("predict", tiny_run, *words, "--also", tiny_run)
    assert twice.code == 1 and "A bundle is given more than once." in twice.err


def test_what_an_ensemble_began_one_bundle_does_not_go_on_with(
    cli: Any, tiny_run: Path, second_bundle: Path, images: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    file, calls, usual = tmp_path / "p.csv", [], Ensemble._together

    def stop(self: Ensemble, answers: Any) -> Any:
        calls.append(answers)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return usual(self, answers)

    with monkeypatch.context() as patch:
        patch.setattr(Ensemble, "_together", stop)
        ended = cli("predict", tiny_run, images, "--also", second_bundle, "--out", file)
        assert ended.code == 130
    other = cli("predict", tiny_run, images, "--out", file)
    assert other.code == 1 and "holds what another bundle" in other.err
    assert cli("predict", tiny_run, images, "--also", second_bundle, "--out", file).code == 0
    assert len(file.read_text().splitlines()) == 37


def test_tiles_by_several_bundles(
    cli: Any, tiny_run: Path, second_bundle: Path, images: Path, tmp_path: Path
) -> None:
    picture = next((images / "SCC").glob("*.png"))
    words = ("--out", tmp_path / "o", "--tiles", "--tile", 32, "--whole")
    assert cli("predict", tiny_run, picture, "--also", second_bundle, *words).code == 0
    content = json.loads((tmp_path / "o" / picture.name / "slide.json").read_text())
    assert "+" in json.dumps(content)


def test_a_manifest_without_labels(cli: Any, tiny_run: Path, images: Path, tmp_path: Path) -> None:
    files = sorted(images.rglob("*.png"))[:3]
    manifest = tmp_path / "list.csv"
    manifest.write_text("image\n" + "".join(f"{file}\n" for file in files))
    found = cli("predict", tiny_run, manifest, "--format", "json")
    assert found.code == 0 and [one["image"] for one in found.json()] == [str(f) for f in files]
