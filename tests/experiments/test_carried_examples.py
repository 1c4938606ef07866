"""Which training images a run puts into its bundle: how many of a class, of whom, and no others."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cytolens import run
from cytolens.bundle import load_bundle
from cytolens.bundle.card import EXAMPLES
from cytolens.bundle.config import BundleConfig
from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.reading import read_image
from cytolens.experiments.examples import Candidate, allot, choose
from cytolens.experiments.recipe import load_recipe


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ([100, 100], 10, [5, 5]),
        ([90, 10], 20, [14, 6]),  # five each, then ten by 85 to 5: 9.4 and .6
        ([1000, 3, 0], 12, [10, 2, 0]),  # two each, then eight by 998 to 1
        ([2, 2], 10, [2, 2]),
        ([5, 1, 1], 3, [1, 1, 1]),
        ([0, 0], 4, [0, 0]),
    ],
)
def test_shares_of_classes(counts: list[int], most: int, expected: list[int]) -> None:
    assert allot(counts, most) == expected


@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up_and_no_class_gives_more_than_it_has(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    counts = [int(n) for n in drawn.integers(0, 60, drawn.integers(1, 9))]
    most = int(drawn.integers(len(counts), 200))
    found = allot(counts, most)
    assert sum(found) == min(most, sum(counts))
    assert all(min(1, n) <= taken <= n for n, taken in zip(counts, found, strict=True))


def test_patients_take_turns_and_the_seed_decides() -> None:
    """Of a class, every patient gives one before any gives a second."""
    some = [
        Candidate(Path(f"{i}.png"), "ab"[i % 2], f"patient {0 if i < 60 else i % 10}")
        for i in range(100)
    ]
    chosen = choose(some, ("a", "b"), 12, seed=0)
    assert chosen == choose(some, ("a", "b"), 12, seed=0) != choose(some, ("a", "b"), 12, seed=1)
    assert [some[row].label for row in chosen] == ["a"] * 6 + ["b"] * 6
    for label, patients in (("a", 5), ("b", 6)):
        units = Counter(some[row].unit for row in chosen if some[row].label == label)
        assert len(units) == patients and max(units.values()) - min(units.values()) <= 1


@pytest.mark.usefixtures("exports", "no_report", "shared_cache")
def test_a_run_carries_what_was_asked_for(tiny_toml: Path, phantoms: Path, tmp_path: Path) -> None:
    settings = ["bundle.examples=8", "bundle.exports=[]", "expand.when=train", "expand.factor=2"]
    settings += ["augment.horizontal_flip=true"]
    folder = run(load_recipe(tiny_toml, settings), phantoms, tmp_path / "run")
    bundle = load_bundle(folder)
    examples = bundle.examples
    assert examples is not None and len(examples) == 8
    assert bundle.card.examples == {
        "images": 8, "classes": examples.card.classes, "side": 128, "width": examples.card.width,
    }  # fmt: skip
    assert sum(examples.card.classes.values()) == 8 and min(examples.card.classes.values()) >= 1
    fold = json.loads((folder / "split.json").read_text())["folds"][0]
    rows = {row.id: row for row in read_manifest(phantoms).rows}
    train = [rows[name] for name in fold["train"] if name in rows]
    seen = set()
    for number in range(1, 9):
        content = np.frombuffer(examples.thumbnail(number), np.uint8)
        shown = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        far = [float(np.abs(read_image(row.image).astype(float) - shown).mean()) for row in train]
        own = train[int(np.argmin(far))]
        assert min(far) < 6 and own.label == examples.label(number), "an image of this fold's part"
        near = bundle.nearest_examples(read_image(own.image), 1)[0]
        assert near.number == number and near.distance < 1e-3
        seen.add(own.id)
    assert len(seen) == 8
    content = (folder / "bundle" / EXAMPLES).read_bytes()
    assert not any(
        row.image.name.encode() in content or row.id.encode() in content for row in train
    )
    assert "small pictures of 8 training images" in (folder / "bundle/MODEL_CARD.md").read_text()


@pytest.mark.usefixtures("no_report", "shared_cache")
def test_more_than_there_are_is_said(tiny_toml: Path, phantoms: Path, tmp_path: Path) -> None:
    settings = ["bundle.examples=500", "bundle.exports=[]"]
    folder = run(load_recipe(tiny_toml, settings), phantoms, tmp_path / "run")
    fold = json.loads((folder / "split.json").read_text())["folds"][0]
    examples = load_bundle(folder).examples
    assert examples is not None and len(examples) == len(fold["train"])
    notes = json.loads((folder / "environment.json").read_text())["notes"]
    assert any("there are no more" in note for note in notes)


def test_none_unless_asked_for(tiny_run: Path) -> None:
    assert load_bundle(tiny_run).examples is None
    assert not (tiny_run / "bundle" / EXAMPLES).exists()


@pytest.mark.parametrize("examples", [-1, 501])
def test_a_number_out_of_range(examples: int) -> None:
    with pytest.raises(InputError, match=f"bundle.examples = {examples}"):
        BundleConfig(examples=examples)


def test_fewer_than_classes_are_refused_before_anything_runs(
    tiny_toml: Path, phantoms: Path, tmp_path: Path
) -> None:
    recipe: Any = load_recipe(tiny_toml, ["bundle.examples=3"])
    with pytest.raises(InputError, match="bundle.examples = 3 leaves a class without an example"):
        run(recipe, phantoms, tmp_path / "run")
    assert not (tmp_path / "run").exists() and not (tmp_path / "run.partial").exists()
