"""Training images that a bundle carries: kept, found again, refused where they were changed."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from random_bundle import noise_images, teach, write_random_bundle
from safetensors.numpy import load_file
from typer.testing import CliRunner

from cytolens.bundle import load_bundle
from cytolens.bundle.card import EXAMPLES, read_bundle_card
from cytolens.bundle.examples import (
    LARGEST,
    SIDE,
    Examples,
    ExamplesCard,
    make_examples,
    read_examples,
    thumbnail,
)
from cytolens.bundle.model_card import model_card, write_model_card
from cytolens.bundle.ood import fit_ood
from cytolens.bundle.prediction import NearExample
from cytolens.bundle.save import amend_bundle, write_tensors
from cytolens.cli.main import app
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng

IMAGES = noise_images(60)
CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def carrying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a random head that carries 30 of 60 images of noise."""
    folder = tmp_path_factory.mktemp("carrying") / "bundle"
    write_random_bundle(folder)
    teach(folder, IMAGES, "ood", "examples")
    return folder


@pytest.fixture
def copy(carrying: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(carrying, tmp_path / "bundle"))


def made(count: int = 9, width: int = 5, seed: int = 0) -> tuple[ExamplesCard, dict[str, Any]]:
    features = rng(seed, "features").normal(0, 1, (count, width))
    labels = [CLASSES[i % 3] for i in range(count)]
    pictures = [thumbnail(image) for image in noise_images(count)]
    return make_examples(pictures, labels, features, CLASSES)


def test_what_was_put_in_comes_out(carrying: Path) -> None:
    bundle = load_bundle(carrying, "torch")
    examples = bundle.examples
    assert examples is not None and len(examples) == 30
    assert examples.card.classes == {"a": 10, "b": 10, "c": 10}
    for number in (1, 2, 30):
        assert examples.label(number) == CLASSES[(number - 1) % 3]
        with Pillow.open(io.BytesIO(examples.thumbnail(number))) as shown:
            assert shown.format == "JPEG" and shown.size == (48, 48)
            assert not shown.getexif() and set(shown.info) <= {
                "jfif", "jfif_version", "jfif_unit", "jfif_density",
            }  # fmt: skip
            found = np.asarray(shown, float).mean(axis=(0, 1))
        np.testing.assert_allclose(found, IMAGES[number - 1].mean(axis=(0, 1)), atol=4)
    for number in (0, 31, -1):
        with pytest.raises(InputError, match=f"There is no example {number}"):
            examples.thumbnail(number)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (128, 40), (8, 4000)])
def test_a_large_image_becomes_small_and_keeps_its_proportions(shape: tuple[int, int]) -> None:
    image = rng(0, "large").integers(0, 256, (*shape, 3), dtype=np.uint8)
    content = thumbnail(image)
    with Pillow.open(io.BytesIO(content)) as shown:
        width, height = shown.size
    assert max(width, height) == min(SIDE, max(shape)) and len(content) <= LARGEST
    assert height == max(1, round(shape[0] * max(width, height) / max(shape)))


def test_noise_at_full_size_stays_below_the_limit() -> None:
    image = rng(0, "noise").integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert len(thumbnail(image)) < LARGEST / 2


def test_the_nearest_are_those_of_a_naive_search(carrying: Path) -> None:
    bundle = load_bundle(carrying, "torch", examples=4)
    reference = bundle.features(IMAGES[:30]).astype(np.float64)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    said = bundle.predict_arrays(list(IMAGES[30:]))
    for one, features in zip(said, bundle.features(IMAGES[30:]), strict=True):
        unit = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64))
        far = [float(np.sqrt(((unit - row) ** 2).sum())) for row in reference]
        expected = sorted(range(30), key=lambda i: far[i])[:4]
        assert [near.number for near in one.examples] == [i + 1 for i in expected]
        assert [near.label for near in one.examples] == [CLASSES[i % 3] for i in expected]
        found = [near.distance for near in one.examples]
        np.testing.assert_allclose(found, [far[i] for i in expected], atol=1e-6)
    alone = bundle.nearest_examples(IMAGES[40], 4)
    assert [near.number for near in alone] == [near.number for near in said[10].examples]
    own = bundle.nearest_examples(IMAGES[7], 1)[0]
    assert own.number == 8 and own.distance < 1e-3


def test_the_distance_is_that_of_the_check_for_strange_images() -> None:
    """With one neighbour and a limit of 1, both say the same of the same training images."""
    features = rng(3, "features").normal(1, 0.2, (60, 16))
    ood = fit_ood(features[:40], None, features[40:])
    card, tensors = make_examples([thumbnail(IMAGES[0])] * 40, ["a"] * 40, features[:40], CLASSES)
    found = Examples(card, CLASSES, tensors).nearest(features[40:], ood.card.neighbours)
    expected = ood.distances(features[40:])[:, 1] * ood.card.nearest
    np.testing.assert_allclose([near[-1].distance for near in found], expected, rtol=1e-6)


def test_more_than_there_are_and_what_is_no_number() -> None:
    card, tensors = made()
    examples = Examples(card, CLASSES, tensors)
    given = np.vstack([tensors["features"][4] * 100, np.full(5, np.nan)])
    near, none = examples.nearest(given, 50)
    assert len(near) == 9 and near[0].number == 5 and near[0].distance < 1e-6 and none == ()
    assert [one.distance for one in near] == sorted(one.distance for one in near)
    assert all(0 <= one.distance <= 2 for one in near)
    assert examples.nearest(np.empty((0, 5)), 3) == []
    with pytest.raises(InputError, match=r"Features of shape \(1, 4\) cannot be compared"):
        examples.nearest(np.ones((1, 4)), 3)


def test_a_bundle_without_examples_is_as_before(tmp_path: Path) -> None:
    write_random_bundle(tmp_path)
    assert "examples" not in json.loads((tmp_path / "bundle.json").read_text())
    bundle = load_bundle(tmp_path, "torch", examples=5)
    assert bundle.examples is None and bundle.predict(IMAGES[0]).examples == ()
    with pytest.raises(InputError, match="carries no training images"):
        bundle.nearest_examples(IMAGES[0])


def test_examples_are_told_only_where_they_are_asked_for(carrying: Path) -> None:
    plain = load_bundle(carrying, "torch").predict(IMAGES[50])
    asked = load_bundle(carrying, "torch", examples=2).predict(IMAGES[50])
    assert plain.examples == () and plain.to_json()["examples"] == []
    first = asked.examples[0]
    assert isinstance(first, NearExample) and len(asked.examples) == 2
    assert asked.to_json()["examples"][0] == {
        "number": first.number, "label": first.label, "distance": first.distance,
    }  # fmt: skip
    assert asked.probabilities == plain.probabilities and asked.strangeness == plain.strangeness


def test_changed_bytes_are_refused(copy: Path) -> None:
    path = copy / EXAMPLES
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="is not the file that bundle.json describes"):
        load_bundle(copy, "torch")
    with pytest.raises(InputError, match="is not the file that bundle.json describes"):
        read_examples(copy, read_bundle_card(copy))
    path.unlink()
    with pytest.raises(InputError, match=f"lacks {EXAMPLES}"):
        load_bundle(copy, "torch")
    with pytest.raises(InputError, match=f"lacks {EXAMPLES}"):
        read_examples(copy, read_bundle_card(copy))


def test_examples_nobody_vouches_for_are_refused(copy: Path) -> None:
    card = json.loads((copy / "bundle.json").read_text())
    del card["files"][EXAMPLES]
    (copy / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=f"does not vouch for {EXAMPLES}"):
        _ = load_bundle(copy, "torch").examples
    with pytest.raises(InputError, match=f"does not vouch for {EXAMPLES}"):
        model_card(copy)


def test_a_file_that_is_something_else_is_refused(copy: Path) -> None:
    (copy / EXAMPLES).write_bytes(b"something else")
    amend_bundle(copy, EXAMPLES)
    with pytest.raises(InputError, match="is no safetensors file"):
        _ = load_bundle(copy, "torch").examples


def changed(**tensors: Any) -> Any:
    return lambda card, before: (card, before | tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card, t: (card, {k: v for k, v in t.items() if k != "ends"}), "ends is missing"),
        (changed(more=np.zeros(3, np.int64)), "more is unknown"),
        (changed(labels=np.zeros(8, np.int64)), r"labels is int64 \(8,\)"),
        (changed(labels=np.full(9, 3, np.int64)), "a label is no class of the bundle"),
        (changed(labels=np.zeros(9, np.int64)), "the classes are not those of the labels"),
        (changed(features=np.ones((9, 5), np.float32)), "features are not of unit length"),
        (changed(features=np.full((9, 5), np.nan, np.float32)), "features are not of unit length"),
        (changed(features=np.eye(9, 4, dtype=np.float32)), r"features is float32 \(9, 4\)"),
        (changed(pictures=np.zeros(100, np.uint8)), "the pictures do not end where it is said"),
        (changed(ends=np.arange(9, 0, -1)), "the pictures do not end where it is said"),
        (
            lambda card, t: (card, t | {"pictures": np.zeros_like(t["pictures"])}),
            "pictures are not JPEG",
        ),
        (lambda card, t: (ExamplesCard(501, card.classes, 128, 5), t), "expected 1 to 500 images"),
        (lambda _, t: (ExamplesCard(0, {}, 128, 5), t), "0 images of 5 features"),
    ],
)
def test_content_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    card, tensors = change(*made())
    with pytest.raises(InputError, match=message):
        Examples(card, CLASSES, tensors)


def test_features_that_are_no_numbers_are_not_kept() -> None:
    with pytest.raises(InputError, match="hold values that are not numbers"):
        make_examples([thumbnail(IMAGES[0])], ["a"], [[np.inf, 1.0]], CLASSES)


def test_the_file_holds_no_more_than_it_should(carrying: Path) -> None:
    tensors = load_file(carrying / EXAMPLES)
    assert set(tensors) == {"features", "labels", "pictures", "ends"}
    assert (carrying / EXAMPLES).stat().st_size < 30 * (LARGEST / 8)


def test_the_model_card_says_how_many(copy: Path, tmp_path: Path) -> None:
    text = model_card(copy).to_markdown()
    assert "small pictures of 30 training images (a 10, b 10 and c 10), at most 128 px" in text
    assert "Whoever has the bundle can look at them" in text
    write_model_card(copy)
    assert EXAMPLES in (copy / "MODEL_CARD.md").read_text()
    write_random_bundle(tmp_path / "none")
    said = model_card(tmp_path / "none").to_markdown()
    assert "The bundle carries no pictures of its training images." in said


def _predict(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_the_command_names_them(carrying: Path, tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    Pillow.fromarray(IMAGES[40]).save(image)
    near = load_bundle(carrying, "torch").nearest_examples(IMAGES[40], 2)
    options = (carrying, image, "--runtime", "torch")
    done = _predict(*options, "--examples", 2)
    assert done.exit_code == 0, done.output
    head, line = done.stdout.splitlines()
    assert head.split(",")[-2:] == ["examples", "problem"]
    told = "; ".join(f"{one.number} {one.label} {one.distance:.4f}" for one in near)
    assert told in line
    [row] = json.loads(_predict(*options, "--examples", 2, "--format", "json").stdout)
    assert [one["number"] for one in row["examples"]] == [one.number for one in near]
    assert "examples" not in _predict(*options).stdout.splitlines()[0]


def test_the_command_refuses_what_has_no_effect(carrying: Path, tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    Pillow.fromarray(IMAGES[40]).save(image)
    other = tmp_path / "other"
    write_random_bundle(other)
    done = _predict(other, image, "--runtime", "torch", "--examples", 2)
    assert done.exit_code == 1 and "carries no training images" in str(done.exception)
    done = _predict(carrying, image, "--also", other, "--examples", 2)
    assert done.exit_code == 2 and "no effect with --also" in done.output
    done = _predict(carrying, image, "--tiles", "--out", tmp_path / "t", "--examples", 2)
    assert done.exit_code == 2 and "no effect with --tiles" in done.output


def test_other_examples_replace_those_of_a_bundle(copy: Path) -> None:
    bundle = load_bundle(copy, "torch")
    card, tensors = make_examples(
        [thumbnail(IMAGES[0])], ["c"], bundle.features(IMAGES[:1]), CLASSES
    )
    write_tensors(copy / EXAMPLES, tensors)
    amend_bundle(copy, EXAMPLES, examples=asdict(card))
    again = load_bundle(copy, "torch")
    assert again.examples is not None and len(again.examples) == 1
    assert again.nearest_examples(IMAGES[0])[0].label == "c"
