"""INT8: vouched for, selectable, and near to what it was made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from random_bundle import noise_images, write_random_bundle

from cytolens.bundle import load_bundle
from cytolens.bundle.card import OPENVINO_INT8, read_bundle_card
from cytolens.bundle.export import export_bundle
from cytolens.bundle.quantise import quantise_bundle
from cytolens.core.errors import InputError

IMAGES = noise_images(40)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8") / "bundle"
    write_random_bundle(folder)
    export_bundle(folder, "openvino")
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "bundle"))


def test_int8_is_near_f32_and_chosen_by_name(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    card = quantise_bundle(copy, list(IMAGES))
    assert capfd.readouterr().out == "", "JSON on standard output stays JSON"
    assert set(OPENVINO_INT8) <= set(card.files) and card == read_bundle_card(copy)
    assert (copy / OPENVINO_INT8[1]).stat().st_size < 0.4 * (copy / "openvino.bin").stat().st_size
    plain, small = load_bundle(copy), load_bundle(copy, precision="int8")
    assert small.runtime_name == "openvino"
    f32, int8 = (bundle.probabilities(list(IMAGES)) for bundle in (plain, small))
    assert 0 < np.abs(f32 - int8).max() < 0.1
    assert (f32.argmax(axis=1) == int8.argmax(axis=1)).mean() > 0.9
    with pytest.raises(InputError, match="with onnx in int8"):
        load_bundle(copy, "onnx", "int8")
    (copy / OPENVINO_INT8[1]).write_bytes(b"other")
    with pytest.raises(InputError, match="is not the file"):
        load_bundle(copy)


def test_what_int8_takes(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="There are no images"):
        quantise_bundle(copy, [])
    write_random_bundle(tmp_path / "bare")
    with pytest.raises(InputError, match=r"holds no openvino\.xml, of which INT8 is made"):
        quantise_bundle(tmp_path / "bare", list(IMAGES))
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(InputError) as caught:
        quantise_bundle(copy, list(IMAGES))
    assert "not installed" in str(caught.value) and "cytolens[int8]" in str(caught.value)
    with pytest.raises(InputError, match="lacks model"):
        (copy / "model.onnx").unlink()
        quantise_bundle(copy, list(IMAGES))


def test_nncf_sends_and_keeps_nothing(tmp_path: Path) -> None:
    """In a process of its own, because NNCF holds back by itself where it sees pytest."""
    code = (
        "import os\n"
        "from cytolens.bundle.quantise import _nncf\n"
        "_nncf()\n"
        "from nncf.telemetry.wrapper import NNCFTelemetryStub, telemetry\n"
        "assert isinstance(telemetry, NNCFTelemetryStub), telemetry\n"
        "assert os.environ.get('CI') == 'no'\n"
    )
    plain = {k: v for k, v in os.environ.items() if k not in ("CI", "NNCF_CI", "NNCF_DEV")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=plain | {"HOME": str(tmp_path), "CI": "no"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not [path for path in tmp_path.rglob("*") if "intel" in str(path).lower()]
