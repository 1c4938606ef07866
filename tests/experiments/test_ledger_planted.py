"""The inflation planted in phantoms: what it is by construction, and that the ledger finds it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest, Row
from cytolens.data.phantom import PhantomConfig, write_phantoms
from cytolens.experiments.ledger import planted_inflation, run_ledger
from cytolens.experiments.recipe import load_recipe


def manifest_of(*groups: str) -> Manifest:
    """Return a manifest of groups, each a word whose letters are the labels of its images."""
    rows = [
        Row(f"{g}-{i}.png", Path("x.png"), label, group=f"g{g}")
        for g, word in enumerate(groups)
        for i, label in enumerate(word)
    ]
    return Manifest(tuple(rows), "set")


def naive(manifest: Manifest) -> float:
    """Say the same image by image."""
    usual, count = Counter(row.label for row in manifest.rows).most_common(1)[0]
    right = 0.0
    for row in manifest.rows:
        others = Counter(r.label for r in manifest.rows if r.group == row.group and r != row)
        top = [label for label, n in others.items() if n == max(others.values())] or [usual]
        right += (row.label in top) / len(top)
    return max(0.0, (right - count) / len(manifest))


@pytest.mark.parametrize(
    ("groups", "planted"),
    [
        (("aaaa", "bbbb"), 0.5),
        (("aaa", "bbb", "ccc"), 2 / 3),
        (("aaab", "bbba"), 0.25),  # the odd one is always wrong
        (("aabb", "aabb"), 0.0),  # left out, an image is of the rarer class: worse than guessing
        (("a", "b", "a"), 0.0),  # others of the patient there are none
        (("aaaa", "aaaa", "b"), 0.0),
    ],
)
def test_planted_inflation(groups: tuple[str, ...], planted: float) -> None:
    assert planted_inflation(manifest_of(*groups)) == pytest.approx(planted)


def test_planted_inflation_against_a_loop() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        words = ["".join(draw.choice(list("abc"), draw.integers(1, 7))) for _ in range(8)]
        manifest = manifest_of(*words, "aaaaa")
        assert planted_inflation(manifest) == pytest.approx(naive(manifest))


def test_planted_inflation_needs_groups() -> None:
    manifest = manifest_of("ab", "ab")
    without = manifest.with_rows([replace(row, group=None) for row in manifest.rows])
    with pytest.raises(InputError, match="has no groups: what knowing them is worth"):
        planted_inflation(without)


CASTS = tuple(itertools.product((0.3, 0.65, 1.0), repeat=3))


def smears(folder: Path, images: int, mix: float, *, cast: bool) -> Manifest:
    """Write phantoms without any class signal, of 24 patients.

    With a `cast` each patient's images have a colour of their own, stronger than the dial
    `patient_effect` goes, so that a colour histogram recognises the patient without fail;
    without, patients do not differ at all.
    """
    config = PhantomConfig(
        images=images, size=48, patients=24, sites=1, seed=5, site_effect=0.0,
        patient_effect=1.0 if cast else 0.0, class_separation=0.0, label_patient_correlation=mix,
    )  # fmt: skip
    manifest = read_manifest(write_phantoms(config, folder, workers=1))
    colours = np.random.default_rng(0).permutation(CASTS)
    for row in manifest.rows if cast else ():
        pixels = cv2.imread(str(row.image))
        assert pixels is not None and row.group is not None
        tinted = np.round(pixels * colours[int(row.group.removeprefix("patient_"))])
        cv2.imwrite(str(row.image), tinted.astype(np.uint8))
    return read_manifest(folder)


def by_image(manifest: Manifest, recipe: str, folder: Path, *settings: str) -> dict[str, Any]:
    """Return what the split by image adds to the accuracy."""
    chosen = load_recipe(recipe, ["split.folds=3", *settings])
    content = run_ledger(manifest, chosen, folder)
    row = next(row for row in content["rows"] if row["name"] == "image")
    found: dict[str, Any] = row["inflation"]["accuracy"]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    ("images", "mix", "strength", "planted"), [(240, 1.0, 10.0, 0.75), (480, 0.6, 0.003, 0.45)]
)
def test_the_planted_inflation_is_recovered(
    tmp_path: Path, images: int, mix: float, strength: float, planted: float
) -> None:
    """One class a patient, and a mix: there the patient's most frequent class must be learned."""
    manifest = smears(tmp_path / "smears", images, mix, cast=True)
    known = planted_inflation(manifest)
    assert known == pytest.approx(planted, abs=0.01)
    settings = f"classifier.c={strength}"
    found = by_image(manifest, "colour_histogram", tmp_path / "ledger", settings)
    assert found["low"] <= known <= found["high"]
    assert found["low"] > 0.1, "and is told from nothing"


@pytest.mark.slow
@pytest.mark.usefixtures("no_report")
def test_no_inflation_where_patients_do_not_differ(tmp_path: Path) -> None:
    """Knowing the patient would be worth 75 points, but nobody can tell patients apart."""
    manifest = smears(tmp_path / "smears", 192, 1.0, cast=False)
    found = by_image(
        manifest, "frozen", tmp_path / "ledger", "model.backbone=cytolens_tiny",
        "training.epochs=20",
    )  # fmt: skip
    assert found["low"] <= 0 <= found["high"]
    assert found["high"] < planted_inflation(manifest) / 2
