"""Bundles: what was saved is what predicts, and what was changed is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bundle import load_bundle
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.reading import read_image
from cytolens.experiments.predictions_file import read_predictions
from cytolens.models.weights import load_state


def test_the_bundle_predicts_what_the_run_predicted(tiny_run: Path, phantoms: Path) -> None:
    """The run computed its features in OpenVINO and trained on them; the bundle is one network."""
    bundle = load_bundle(tiny_run)
    manifest = read_manifest(phantoms)
    found = read_predictions(tiny_run / "predictions.parquet", bundle.classes)
    first = np.flatnonzero(found.folds == 0)
    files = [manifest.rows[manifest.index[found.ids[i]]].image for i in first]
    predictions = list(bundle.predict_many(files))
    ours = [list(p.probabilities.values()) for p in predictions]
    np.testing.assert_allclose(ours, found.probabilities[first], atol=1e-5)
    assert [p.label for p in predictions] == [bundle.classes[i] for i in found.predicted[first]]


def test_a_path_a_text_and_an_array_are_the_same_image(tiny_run: Path, phantoms: Path) -> None:
    bundle = load_bundle(tiny_run / "bundle")
    path = read_manifest(phantoms).rows[0].image
    pixels = read_image(path)
    by_path, by_text = bundle.predict(path), bundle.predict(str(path))
    assert by_path == by_text and by_path.image == str(path)
    assert bundle.predict(pixels).probabilities == by_path.probabilities
    assert bundle.predict(np.asfortranarray(pixels)).probabilities == by_path.probabilities
    assert bundle.predict(pixels[:30, 5:]).label in bundle.classes, "of any size"


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((1, 9, 9, 3), np.uint8),
    ],
)
def test_an_array_that_is_not_an_image(tiny_run: Path, array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError) as caught:
        load_bundle(tiny_run).predict(array)
    assert str(caught.value) == (
        f"An array of shape {array.shape} and type {array.dtype} is not an image.\n"
        "Expected: uint8 RGB, [height, width, 3]"
    )


def test_a_bad_file_among_many_does_not_stop_the_rest(
    tiny_run: Path, phantoms: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(tiny_run)
    good = [row.image for row in read_manifest(phantoms).rows[:20]]
    (tmp_path / "empty.png").touch()
    files = [good[0], tmp_path / "empty.png", *good[1:], tmp_path / "none.png", tmp_path]
    found = list(bundle.predict_many(files))
    assert [p.image for p in found] == [str(f) for f in files]
    assert {p.problem for p in found} == {
        "",
        "is empty (0 bytes)",
        "does not exist",
        "cannot be read (Is a directory)",
    }
    assert all((p.label is None) == bool(p.problem) for p in found)
    ours = [found[2].probabilities[name] for name in bundle.classes]
    alone = [bundle.predict(good[1]).probabilities[name] for name in bundle.classes]
    np.testing.assert_allclose(ours, alone, atol=1e-6, err_msg="the neighbours are not shifted")
    with pytest.raises(InputError, match=r"empty.png is empty \(0 bytes\)\.$"):
        bundle.predict(tmp_path / "empty.png")


def test_no_pickle_and_strict_json(tiny_run: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    content = json.loads((tiny_run / "bundle" / "bundle.json").read_text(), parse_constant=refuse)
    assert content["format"] == 2 and content["classes"] == ["HSIL", "LSIL", "NILM", "SCC"]
    assert content["metrics"] == json.loads((tiny_run / "metrics.json").read_text())
    provenance = content["provenance"]
    assert (provenance["fold"], provenance["protocol"]) == (0, "honest")
    assert str(tiny_run.parent) not in json.dumps(content), "no path of this machine"
    state = load_state(tiny_run / "bundle" / "model.safetensors")
    assert {name.partition(".")[0] for name in state} == {"net", "head"}


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "bundle", tmp_path / "bundle"))


def _message(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(folder)
    return str(caught.value)


def test_a_model_that_was_changed_is_refused(copy: Path) -> None:
    model = copy / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert _message(copy).startswith(f"{model} is not the file that bundle.json describes.\n")
    model.unlink()
    assert _message(copy).startswith(f"The bundle at {copy} lacks model.safetensors.\n")


def _edit(copy: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = copy / "bundle.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=1), "{0} has the bundle format 1.\nExpected: format 2\n"),
        (lambda c: c["files"].clear(), "The bundle at {0} does not vouch for model.safetensors."),
        (lambda c: c["files"].update({"../x": ""}), "names a file outside of it: ../x."),
        (lambda c: c.pop("format"), "{0} has the bundle format None.\n"),
        (lambda c: c.pop("classes"), "{0}/bundle.json has 1 wrong setting.\n  - classes: missing"),
        (lambda c: c.update(clases=[]), "clases: unknown key (did you mean 'classes'?)"),
        (lambda c: c["classes"].append("more"), "The bundle's model does not fit its bundle.json"),
        (lambda c: c.update(backbone="squeezenet1_1"), "does not fit its bundle.json"),
    ],
)
def test_a_description_that_was_changed_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    _edit(copy, change)
    assert message.format(copy) in _message(copy)


def test_what_is_not_a_bundle(copy: Path, tmp_path: Path) -> None:
    assert _message(tmp_path / "none") == f"There is no bundle at {tmp_path}/none/bundle.json."
    image = tmp_path / "image.png"
    image.touch()
    text = f"The bundle at {image}/bundle.json cannot be read: Not a directory."
    assert _message(image) == text
    (copy / "bundle.json").write_text("{")
    assert _message(copy).startswith(f"{copy}/bundle.json is not a bundle: ")
    (copy / "bundle.json").write_text("[]")
    assert "expected a table, got []" in _message(copy)
