"""`cytolens export`: what it writes and what it says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cytolens.bundle import bundle_id, load_bundle
from cytolens.bundle.card import check_files, read_bundle_card
from cytolens.cli.main import app
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest

pytestmark = pytest.mark.usefixtures("exports")


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    from cytolens.experiments import exporting

    monkeypatch.setattr(exporting, "_REPEATS", 2)
    monkeypatch.setattr(exporting, "_BATCHES", 1)

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, ["export", *map(str, words)])

    return run


def test_float32_is_compared_with_torch(copy: Path, export: Callable[..., Result]) -> None:
    assert load_bundle(copy).runtime_name == "torch"
    found = export(copy, "--format", "onnx", "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    assert content["files"] == ["model.onnx"] and 0 <= content["difference"] < 1e-4
    assert content["bundle"] == bundle_id(copy / "bundle")
    assert load_bundle(copy).runtime_name == "onnx"
    found = export(copy / "bundle")
    assert "openvino.xml, openvino.bin" in found.stdout
    assert load_bundle(copy).runtime_name == "openvino"


def test_the_model_card_names_what_was_added(copy: Path, export: Callable[..., Result]) -> None:
    folder = copy / "bundle"
    page = folder / "MODEL_CARD.md"
    assert "model.onnx" not in page.read_text()
    assert export(copy, "--format", "onnx").exit_code == 0
    assert read_bundle_card(folder).files["model.onnx"] in page.read_text()
    found = export(copy, "--precision", "int8", "--json")
    files = read_bundle_card(folder).files
    told = page.read_text()
    for name in ("openvino.xml", "openvino_int8.xml", "openvino_int8.bin"):
        assert files[name] in told and files[name] in (folder / "model_card.html").read_text()
    check_files(folder, read_bundle_card(folder))
    assert json.loads(found.stdout)["bundle"] == bundle_id(folder)
    before = bundle_id(folder)
    export(copy, "--precision", "bf16")
    assert bundle_id(folder) == before, "nothing was added"


def test_bf16_is_measured(copy: Path, export: Callable[..., Result]) -> None:
    """The test images of the first fold, in one run with float32; no file is added but that."""
    found = export(copy, "--precision", "bf16", "--json")
    assert found.exit_code == 0, found.output
    content = json.loads(found.stdout)
    fold = json.loads((copy / "split.json").read_text())["folds"][0]
    comparison = content["comparison"]
    assert comparison["n"] == len(fold["test"]) and comparison["unit"] == "group"
    assert [run["name"] for run in comparison["runs"]] == ["f32", "bf16"]
    assert content["files"] == [] and content["training"] == 0
    assert set(content["referred"]) == {"f32", "bf16"}
    for name in ("f32", "bf16"):
        one = content["speed"][name]
        assert 0 < one["least"] <= one["median"] <= one["most"]
    assert not (copy / "bundle" / "openvino_int8.xml").exists()
    shown = export(copy, "--precision", "bf16").stdout
    assert "nothing: bf16 is chosen where the bundle is loaded" in shown
    assert "accuracy f32" in shown and "images a second" in shown


def test_int8_looks_at_training_images(copy: Path, export: Callable[..., Result]) -> None:
    found = export(copy / "bundle", "--precision", "int8")
    assert found.exit_code == 0, found.output
    fold = json.loads((copy / "split.json").read_text())["folds"][0]
    assert f"ranges from        {len(fold['train'])} training images" in found.stdout
    assert "openvino_int8.xml, openvino_int8.bin" in found.stdout
    assert "not shown to differ" in found.stdout or "int8 is" in found.stdout
    assert load_bundle(copy, precision="int8").runtime_name == "openvino"


def test_a_bundle_without_its_run(
    copy: Path, export: Callable[..., Result], phantoms: Path, tmp_path: Path
) -> None:
    alone = shutil.move(copy / "bundle", tmp_path / "alone")
    with pytest.raises(InputError, match=r"a bundle without its run"):
        _raise(export(alone, "--precision", "bf16"))
    words = (alone, "--precision", "bf16", "--data", phantoms, "--json")
    content = json.loads(export(*words).stdout)
    assert content["comparison"]["n"] == 18, "half; the other would be looked at by int8"
    assert "may have been trained on" in content["notes"][0]


def _raise(result: Result) -> Any:
    assert result.exception is not None
    raise result.exception


def test_data_of_other_classes_and_of_a_run(
    copy: Path, export: Callable[..., Result], phantoms: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--data has no effect"):
        _raise(export(copy, "--precision", "bf16", "--data", phantoms))
    alone = shutil.move(copy / "bundle", tmp_path / "alone")
    rows = [
        f"{row.image},{row.label.replace('SCC', 'ASCUS')}" for row in read_manifest(phantoms).rows
    ]
    (tmp_path / "other.csv").write_text("\n".join(["image,label", *rows]))
    with pytest.raises(InputError, match="labels that are no classes of the bundle"):
        _raise(export(alone, "--precision", "bf16", "--data", tmp_path / "other.csv"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "tflite"], "'tflite' is none of onnx, openvino."),
        (["--precision", "fp4"], "'fp4' is none of f32, bf16, int8."),
        (["--format", "onnx", "--precision", "int8"], "int8 takes OpenVINO."),
        (["--data", "x"], "--data has no effect on f32."),
    ],
)
def test_wrong_use(words: list[str], message: str, export: Callable[..., Result]) -> None:
    found = export("somewhere", *words)
    assert found.exit_code == 2 and message in found.stderr.replace("\n", " ")
