"""A bundle's network is the same in every runtime, and runs where torch cannot be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_bundle import SIDE, noise_images, teach, write_random_bundle
from scipy.special import softmax

from cytolens.bundle import load_bundle
from cytolens.bundle import runtime as runtimes
from cytolens.bundle.card import read_bundle_card
from cytolens.bundle.export import NotExportable, export_bundle
from cytolens.bundle.runtime import choose_runtime, create_runtime
from cytolens.core.errors import InputError

NETWORKS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "sigmoid": {"classes": ("a", "b"), "output": "sigmoid"},
    "map": {"pool": "none"},
}
IMAGES = noise_images(70)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundles, each exported to ONNX and OpenVINO."""
    folder = tmp_path_factory.mktemp("bundles")
    for name, settings in NETWORKS.items():
        write_random_bundle(folder / name, **settings)
        export_bundle(folder / name, "onnx", "openvino")
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported / "softmax", tmp_path / "bundle"))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_runtime_gives_what_torch_gives(exported: Path, name: str) -> None:
    folder = exported / name
    card = read_bundle_card(folder)
    scores, features = create_runtime(folder, card, "torch").run(IMAGES)
    k = len(card.classes)
    assert scores.shape == (70, k) and features.shape == (70, card.feature_shape[0])
    assert np.ptp(scores, axis=0).min() > 0.1, "the images are told apart"
    for other in ("onnx", "openvino"):
        ours = create_runtime(folder, card, other).run(IMAGES)
        for found, expected in zip(ours, (scores, features), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_two_scores_of_a_sigmoid_are_its_two_probabilities(exported: Path) -> None:
    from cytolens.bundle.network import load_network

    folder = exported / "sigmoid"
    card = read_bundle_card(folder)
    network = load_network(folder, card)
    import torch

    with torch.inference_mode():
        z = network.head(network.body(torch.from_numpy(IMAGES)))[:, 0].numpy()
    scores, _ = create_runtime(folder, card, "onnx").run(IMAGES)
    np.testing.assert_allclose(softmax(scores, axis=1)[:, 1], 1 / (1 + np.exp(-z)), atol=1e-6)


def test_features_of_a_map_are_its_spatial_mean(exported: Path) -> None:
    import torch

    from cytolens.bundle.network import load_network

    folder = exported / "map"
    card = read_bundle_card(folder)
    with torch.inference_mode():
        map_ = load_network(folder, card).body(torch.from_numpy(IMAGES[:5])).numpy()
    assert map_.ndim == 4 and map_.shape[1:] == card.feature_shape
    _, features = create_runtime(folder, card, "openvino").run(IMAGES[:5])
    np.testing.assert_allclose(features, map_.mean(axis=(2, 3)), atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "onnx", "openvino"])
def test_a_stream_gives_what_single_calls_give(exported: Path, engine: str) -> None:
    """In order, batch by batch, also where a batch is more than one request or a single image."""
    folder = exported / "softmax"
    run = create_runtime(folder, read_bundle_card(folder), engine)
    sizes = [1, 40, 3, 20]
    batches = np.split(IMAGES[:64], np.cumsum(sizes)[:-1])
    found = list(run.stream(iter(batches)))
    assert [len(scores) for scores, _ in found] == sizes
    scores = np.concatenate([scores for scores, _ in found])
    features = np.concatenate([features for _, features in found])
    alone = [run.run(image[None]) for image in IMAGES[:64]]
    np.testing.assert_allclose(scores, np.concatenate([s for s, _ in alone]), atol=1e-4)
    np.testing.assert_allclose(features, np.concatenate([f for _, f in alone]), atol=1e-4)


def test_short_answers_from_several_threads(exported: Path) -> None:
    """One request serves them in turn."""
    bundle = load_bundle(exported / "softmax", "openvino")
    expected = bundle.probabilities(list(IMAGES[:16]))
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda image: bundle.probabilities([image])[0], IMAGES[:16]))
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_probabilities_are_the_mean_over_test_views(tmp_path: Path) -> None:
    """And the features, which tell what is strange, are those of the image as it is."""
    views = ("hflip", "rot180")
    write_random_bundle(tmp_path / "two", test_views=views)
    write_random_bundle(tmp_path / "one")
    both, plain = load_bundle(tmp_path / "two"), load_bundle(tmp_path / "one")
    flipped = plain.probabilities(list(IMAGES[:6, :, ::-1]))
    turned = plain.probabilities(list(IMAGES[:6, ::-1, ::-1]))
    found = both.probabilities(list(IMAGES[:6]))
    np.testing.assert_allclose(found, (flipped + turned) / 2, atol=1e-6)
    assert abs(found - plain.probabilities(list(IMAGES[:6]))).max() > 1e-4
    np.testing.assert_array_equal(both.features(IMAGES[:6]), plain.features(IMAGES[:6]))
    many = both.predict_sources((str(i), lambda i=i: IMAGES[i]) for i in range(70))  # type: ignore[misc]
    rows = [list(said.probabilities.values()) for said in many]
    np.testing.assert_allclose(rows, both.probabilities(list(IMAGES)), atol=1e-5)


def test_many_images_in_order_with_bad_ones_between(exported: Path) -> None:
    """More than a few batches, two readers at once on one bundle, and one that is left early."""
    from cytolens.data.reading import ImageProblem

    def source(number: int) -> Any:
        def read() -> Any:
            if number % 67 == 3:
                raise ImageProblem(Path(str(number)), "is bad")
            return IMAGES[number % 70]

        return str(number), read

    bundle = load_bundle(exported / "softmax", "openvino")
    first = bundle.predict_sources(map(source, range(330)))
    second = bundle.predict_sources(map(source, range(330)))
    left = bundle.predict_sources(map(source, range(330)))
    next(left)
    left.close()  # type: ignore[attr-defined]
    expected = [p.label for p in bundle.predict_arrays(list(IMAGES))]
    for number, pair in enumerate(zip(first, second, strict=True)):
        for found in pair:
            bad = number % 67 == 3
            assert found.image == str(number) and found.problem == ("is bad" if bad else "")
            assert found.label == (None if bad else expected[number % 70])
    assert number == 329
    bad = [source(3)] * 70
    assert [p.problem for p in bundle.predict_sources(bad)] == ["is bad"] * 70


def test_no_images(exported: Path) -> None:
    bundle = load_bundle(exported / "softmax")
    assert bundle.probabilities([]).shape == (0, 3)
    assert bundle.predict_arrays([]) == [] and list(bundle.predict_many([])) == []


WITHOUT_TORCH = """
import sys, json
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm"):
            raise ImportError(f"{name} must not be imported")

sys.meta_path.insert(0, Refuse())
from cytolens.bundle import load_bundle
found = load_bundle(sys.argv[1], sys.argv[2])
print(json.dumps([found.runtime_name, [p.to_json() for p in found.predict_many(sys.argv[3:])]]))
"""


def _elsewhere(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def knowing(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with everything a bundle can know, and three images beside it."""
    folder = tmp_path_factory.mktemp("knowing")
    shutil.copytree(exported / "softmax", folder / "bundle")
    teach(folder / "bundle", IMAGES)
    for number in range(3):
        Image.fromarray(IMAGES[number]).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("engine", ["openvino", "onnx", "auto"])
def test_a_bundle_predicts_where_torch_cannot_be_imported(knowing: Path, engine: str) -> None:
    files = sorted(knowing.glob("*.png"))
    name, found = json.loads(_elsewhere(WITHOUT_TORCH, knowing / "bundle", engine, *files))
    assert name == ("openvino" if engine == "auto" else engine)
    expected = [p.to_json() for p in load_bundle(knowing / "bundle", "torch").predict_many(files)]
    assert [p["image"] for p in found] == [str(file) for file in files]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            list(ours["probabilities"].values()), list(theirs["probabilities"].values()), atol=1e-5
        )
        assert ours["strangeness"]["score"] == pytest.approx(
            theirs["strangeness"]["score"], rel=0.01
        )
        for key in ("label", "set", "decision", "reasons", "level", "problem"):
            assert ours[key] == theirs[key]


def test_the_verb_predicts_where_torch_cannot_be_imported(knowing: Path) -> None:
    head = WITHOUT_TORCH.partition("from cytolens.bundle")[0]
    code = head + "from cytolens.cli.main import main\nmain()"
    files = sorted(knowing.glob("*.png"))
    words = ["predict", knowing / "bundle", *files, "--format", "json"]
    found = json.loads(_elsewhere(code, *words))
    assert len(found if isinstance(found, list) else found["images"]) == 3


def _refused(folder: Path, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(folder, *arguments).predict(IMAGES[0])
    return str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "openvino.bin", "openvino.xml"])
def test_an_export_that_was_changed_or_is_missing_is_refused(copy: Path, name: str) -> None:
    """Whichever runtime is asked for: somebody was here."""
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert _refused(copy, "torch").startswith(f"{copy / name} is not the file that bundle.json ")
    (copy / name).unlink()
    assert _refused(copy, "torch").startswith(f"The bundle at {copy} lacks {name}.")


def test_a_file_that_nobody_vouched_for_is_not_used(tmp_path: Path, exported: Path) -> None:
    folder = tmp_path / "bundle"
    write_random_bundle(folder)
    shutil.copy(exported / "softmax" / "model.onnx", folder)
    assert _refused(folder, "onnx").startswith(
        "Nothing here can run this bundle with onnx.\n  - onnx: the bundle holds no model.onnx\n"
    )
    assert load_bundle(folder).runtime_name == "torch", "which is what is left"


def test_a_network_of_other_classes_is_not_exported(copy: Path) -> None:
    """Nor is a model that is not the one of the description: the export would vouch for it."""
    content = json.loads((copy / "bundle.json").read_text())
    content["files"]["model.safetensors"] = "0" * 64
    (copy / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="model.safetensors is not the file"):
        export_bundle(copy, "onnx")
    with pytest.raises(InputError, match="Unknown format 'tflite'"):
        export_bundle(copy, "tflite")


def test_a_network_that_onnx_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def refuse(*_: Any, **__: Any) -> None:
        raise torch.onnx.errors.UnsupportedOperatorError("aten::odd", 17, None)

    write_random_bundle(tmp_path)
    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(NotExportable, match="cytolens_tiny cannot be written as ONNX: .*aten::odd"):
        export_bundle(tmp_path, "openvino")
    assert read_bundle_card(tmp_path).files.keys() == {"model.safetensors"}
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_unknown_runtimes_and_precisions(exported: Path) -> None:
    folder = exported / "softmax"
    assert _refused(folder, "onxx").startswith("Unknown runtime 'onxx' (did you mean 'onnx'?).")
    assert _refused(folder, "auto", "fp16").startswith("Unknown precision 'fp16'.")
    assert _refused(folder, "onnx", "bf16").startswith(
        "Nothing here can run this bundle with onnx in bf16.\n  - onnx: computes in f32 alone\n"
    )
    assert "openvino: the bundle holds no openvino_int8.xml" in _refused(folder, "auto", "int8")


def test_a_runtime_whose_package_is_missing(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"openvino"}
    monkeypatch.setattr(runtimes, "_installed", lambda package: package not in missing)
    card = read_bundle_card(exported / "softmax")
    assert choose_runtime(card) == "onnx"
    with pytest.raises(InputError, match="openvino: openvino is not installed"):
        choose_runtime(card, "openvino")
    missing.add("onnxruntime")
    assert choose_runtime(card) == "torch"
    missing.add("torch")
    with pytest.raises(InputError) as caught:
        choose_runtime(card)
    assert str(caught.value) == (
        "Nothing here can run this bundle.\n"
        "  - openvino: openvino is not installed\n"
        "  - onnx: onnxruntime is not installed\n"
        "  - torch: torch is not installed\n"
        "Way out: install the package, or add the export with `cytolens export`."
    )


def test_bf16_is_a_choice_that_changes_little(exported: Path) -> None:
    """Where the processor has none of it, OpenVINO computes in f32 all the same."""
    folder = exported / "softmax"
    plain = load_bundle(folder, "openvino").probabilities(list(IMAGES))
    rough = load_bundle(folder, "openvino", "bf16").probabilities(list(IMAGES))
    np.testing.assert_allclose(rough, plain, atol=0.1)
    assert SIDE == 48
