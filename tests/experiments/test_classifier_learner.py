"""Classical runs from recipe to report: features computed once, masks, notes, refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.learning import classifier_learner
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import load_recipe, shipped_recipes
from cytolens.experiments.run import run_recipe
from cytolens.features import handcrafted
from cytolens.features.handcrafted import HandcraftedTable, MaskedSource
from cytolens.features.store import Store
from cytolens.models.classical.features import FEATURES, describe
from cytolens.models.classical.masks import read_mask
from cytolens.models.classical.sample import Sample
from cytolens.models.classical.shape import shape
from cytolens.pixels.config import PixelsConfig

Run = Callable[..., Path]
BASE = """\
[split]
folds = 2
validation = 0.0
[evaluation]
resamples = 20
"""
MASKS = "shape of nuclei and cytoplasm: from the masks of the manifest"


@pytest.fixture
def run(tmp_path: Path, phantoms: Path) -> Run:
    (tmp_path / "r.toml").write_text(BASE)
    done = iter(range(9))

    def run(settings: Sequence[str], manifest: Manifest | None = None) -> Path:
        recipe = load_recipe(tmp_path / "r.toml", settings)
        return run_recipe(
            recipe, manifest or read_manifest(phantoms), tmp_path / f"run{next(done)}"
        )

    return run


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _settings(kind: str, features: str, *more: str) -> list[str]:
    return [f"classifier.kind={kind}", f"classifier.features={features}", *more]


TINY = ("model.backbone=cytolens_tiny", "model.weights=random", "pixels.size=48")


# ------------------------------------------------------------------ runs


def test_a_classical_run_is_whole_without_history_or_bundle(run: Run) -> None:
    folder = run(_settings("svm_rbf", "handcrafted"))
    assert {path.name for path in folder.iterdir()} >= {
        "recipe.toml", "environment.json", "manifest.csv", "audit.json", "split.json",
        "history.jsonl", "folds.json", "predictions.parquet", "metrics.json", "report.html",
        "samples",
    }  # fmt: skip
    assert not (folder / "bundle").exists() and not (folder / "folds").exists()
    assert (folder / "history.jsonl").read_text() == ""
    metrics = _json(folder / "metrics.json")
    assert metrics["n"] == 36 and metrics["accuracy"]["value"] > 0.5
    first, second = _json(folder / "folds.json")
    assert first["classifier"] == "svm_rbf" and first["parts_from"] == "masks"
    assert first["features"] == {"computed": 36, "reused": 0}
    assert second["features"] == {"computed": 0, "reused": 36}
    assert first["without_nucleus"] == 0 and first["temperature"] > 0
    environment = _json(folder / "environment.json")
    assert environment["engine"] == "scikit-image"
    assert any(note.startswith("no bundle: ") for note in environment["notes"])
    assert sum(note.startswith(MASKS) for note in environment["notes"]) == 1
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "there are no epochs and no curves" in text
    assert "cytolens predict cannot use it" in " ".join(
        text.replace("<code>", "").replace("</code>", "").split()
    )


@pytest.mark.usefixtures("no_report")
def test_the_majority_is_what_it_says(run: Run, phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    folder = run(_settings("majority", "none"))
    found = read_predictions(folder / "predictions.parquet", manifest.classes)
    for part in _json(folder / "split.json")["folds"]:
        labels = manifest.labels[[manifest.index[i] for i in part["train"]]]
        shares = np.bincount(labels, minlength=4) / len(labels)
        rows = found.folds == part["fold"]
        np.testing.assert_allclose(found.probabilities[rows], np.tile(shares, (rows.sum(), 1)))
    assert _json(folder / "environment.json")["engine"] == "none"
    assert _json(folder / "folds.json")[0]["features"] == {"computed": 0, "reused": 0}


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("pool", ["avg", "none"])
def test_deep_features_are_those_of_the_frozen_network(run: Run, pool: str) -> None:
    folder = run(
        _settings("svm_linear", "deep", *TINY, f"model.pool={pool}", "features.engine=torch")
    )
    assert [f["features"] for f in _json(folder / "folds.json")] == [
        {"computed": 36, "reused": 0},
        {"computed": 0, "reused": 36},
    ]
    notes = _json(folder / "environment.json")["notes"]
    assert "random weights (seed 0): nothing is transferred" in notes
    assert _json(folder / "metrics.json")["accuracy"]["value"] > 0.4


@pytest.mark.usefixtures("no_report")
def test_the_same_run_gives_the_same_numbers_and_computes_nothing_again(
    run: Run, phantoms: Path
) -> None:
    classes = read_manifest(phantoms).classes
    settings = _settings("random_forest", "handcrafted", "classifier.trees=20")
    one, two, other = run(settings), run(settings), run([*settings, "seed=1"])
    first, second = (
        read_predictions(folder / "predictions.parquet", classes) for folder in (one, two)
    )
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    for folder in (two, other):
        assert all(f["features"]["computed"] == 0 for f in _json(folder / "folds.json"))
    part = run(_settings("knn", "glcm"))  # a group of what was stored
    assert all(f["features"]["computed"] == 0 for f in _json(part / "folds.json"))


@pytest.mark.usefixtures("no_report")
def test_masks_serve_all_images_or_none(run: Run, phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    half = [replace(r, mask=None if i % 2 else r.mask) for i, r in enumerate(manifest.rows)]
    none = [replace(r, mask=None) for r in manifest.rows]

    def notes(folder: Path) -> list[str]:
        [first, _] = _json(folder / "folds.json")
        assert first["parts_from"] == "built-in segmentation"
        return [n for n in _json(folder / "environment.json")["notes"] if n.startswith("shape")]

    settings = _settings("naive_bayes", "shape")
    built_in = "shape of nuclei and cytoplasm: from the built-in segmentation"
    assert notes(run(settings, manifest.with_rows(none))) == [built_in]
    assert notes(run(settings, manifest.with_rows(half))) == [
        f"{built_in}; the masks of 18 of 36 images are not used, because the others have none"
    ]
    assert notes(run([*settings, "classifier.masks=ignore"])) == []


@pytest.mark.usefixtures("no_report")
def test_offline_copies_are_trained_on(run: Run) -> None:
    more = ["expand.when=train", "expand.factor=2", "augment.horizontal_flip=true"]
    folder = run(_settings("knn", "colour", *more))
    metrics, folds = _json(folder / "metrics.json"), _json(folder / "split.json")["folds"]
    assert metrics["n"] == 36 and len(folds[0]["train"]) == 2 * (36 - len(folds[0]["test"]))


@pytest.mark.usefixtures("no_report")
def test_a_training_part_of_one_class_is_said(run: Run, phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    rows = [
        replace(r, magnification=r.label, group=None)
        for r in manifest.rows
        if r.label in ("NILM", "SCC")
    ]
    split = ["split.kind=attribute", "split.test_values=['NILM']"]
    small = replace(manifest, rows=tuple(rows))
    folder = run(_settings("svm_linear", "colour", *split), small)
    assert [f["only_class"] for f in _json(folder / "folds.json")] == ["SCC"]
    assert _json(folder / "metrics.json")["accuracy"]["value"] == 0
    said = "fold 1 of 1: all training images are SCC; nothing else can be predicted"
    assert said in _json(folder / "environment.json")["notes"]


@pytest.mark.usefixtures("no_report")
def test_a_validation_part_is_not_used_and_that_is_said(run: Run) -> None:
    folder = run(_settings("majority", "none", "split.validation=0.25"))
    notes = _json(folder / "environment.json")["notes"]
    assert "the validation part is not used: nothing is chosen by it" in notes


@pytest.mark.usefixtures("no_report")
def test_a_run_that_was_cut_off_goes_on_with_the_same_masks_alone(
    tmp_path: Path, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.toml").write_text(BASE)
    manifest = read_manifest(phantoms)
    without = manifest.with_rows([replace(r, mask=None) for r in manifest.rows])
    usual, calls = classifier_learner.fit_predict, []

    def cut(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return usual(*given)

    monkeypatch.setattr(classifier_learner, "fit_predict", cut)
    shapes, colours = (
        load_recipe(tmp_path / "r.toml", _settings("naive_bayes", name))
        for name in ("shape", "colour")
    )
    with pytest.raises(KeyboardInterrupt):
        run_recipe(shapes, manifest, tmp_path / "shapes")
    with pytest.raises(InputError, match="holds an unfinished run with another masks"):
        run_recipe(shapes, without, tmp_path / "shapes")
    run_recipe(shapes, manifest, tmp_path / "shapes")
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        run_recipe(colours, manifest, tmp_path / "colours")
    run_recipe(colours, without, tmp_path / "colours")  # nobody looks at them


def test_a_mask_that_does_not_fit_names_itself(run: Run, phantoms: Path) -> None:
    manifest = read_manifest(phantoms)
    wrong = manifest.rows[0].image  # a coloured image instead of a mask
    rows = [replace(r, mask=wrong) if i < 2 else r for i, r in enumerate(manifest.rows)]
    with pytest.raises(InputError) as caught:
        run(_settings("knn", "shape"), manifest.with_rows(rows))
    assert caught.value.what == "2 masks cannot be used."
    assert caught.value.rows == (f"The mask {wrong} is coloured.",) * 2
    assert 'classifier.masks = "ignore"' in caught.value.fix
    run(_settings("knn", "colour"), manifest.with_rows(rows))  # nobody looks at them


# ------------------------------------------------------------------ recipes


@pytest.mark.parametrize("name", ["majority", "colour_histogram", "handcrafted_svm", "deep_svm"])
def test_the_classical_recipes_ship(name: str) -> None:
    assert name in shipped_recipes()
    recipe = load_recipe(name)
    assert recipe.classifier.used and recipe.split.validation == 0


@pytest.mark.parametrize(
    "setting",
    [
        "training.regime=cost_sensitive",
        "training.views=2",
        "model.freeze=0.5",
        "evaluation.test_views=['identity', 'hflip']",
    ],
)
def test_settings_without_effect_are_refused(setting: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("deep_svm", [setting, "augment.horizontal_flip=true"])
    message = str(caught.value)
    assert "Settings without effect with classifier.kind = 'svm_rbf'" in message
    assert setting.partition("=")[0] in message
    assert "offline copies, [expand], are possible" in message


def test_choosing_an_epoch_by_the_test_part_is_refused() -> None:
    with pytest.raises(InputError, match=r"training\.choose_on = 'test'"):
        load_recipe("handcrafted_svm", ["training.choose_on=test", "protocol=published"])


# ------------------------------------------------------------------ the table


def test_the_table_is_the_groups_side_by_side(phantoms: Path) -> None:
    rows = read_manifest(phantoms).rows[:3]
    sources = [MaskedSource(r.image, r.id, r.mask) for r in rows]
    table = HandcraftedTable(sources, ("shape", "colour"), PixelsConfig(), Store())
    assert table.missing([0, 2]) == 2
    steps: list[None] = []
    table.prepare([0, 2], lambda: steps.append(None))
    assert len(steps) == table.computed == 2
    found = table.matrix(np.array([2, 0, 2]))
    assert found.shape == (3, sum(len(FEATURES.get(g).names) for g in ("shape", "colour")))
    np.testing.assert_array_equal(found[0], found[2])
    from cytolens.data.reading import read_image

    image, mask = read_image(rows[2].image), rows[2].mask
    assert mask is not None
    expected = shape(Sample(image, read_mask(mask, (48, 48))))
    np.testing.assert_array_equal(found[0, : len(expected)], expected)


def test_what_decides_a_row_decides_its_key(
    phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_manifest(phantoms).rows[:2]

    def missing(masked: bool = True, group: str = "shape", **pixels: Any) -> int:
        sources = [MaskedSource(r.image, r.id, r.mask if masked else None) for r in rows]
        return HandcraftedTable(sources, (group,), PixelsConfig(**pixels), Store()).missing([0, 1])

    sources = [MaskedSource(r.image, r.id, r.mask) for r in rows]
    for group in ("shape", "colour"):
        HandcraftedTable(sources, (group,), PixelsConfig(), Store()).prepare([0, 1])
    assert missing() == 0 and missing(masked=False) == 2 and missing(size=40) == 2
    assert missing(group="colour", masked=False) == 0, "masks do not matter to colour"
    newer = replace(FEATURES.get("shape"), version=99)
    monkeypatch.setitem(handcrafted.FEATURES._things, "shape", newer)
    assert missing() == 2


def test_only_the_groups_that_are_missing_are_computed(
    phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [MaskedSource(r.image, r.id) for r in read_manifest(phantoms).rows[:2]]
    HandcraftedTable(sources, ("lbp",), PixelsConfig(), Store()).prepare([0, 1])
    asked: list[tuple[str, ...]] = []
    usual = handcrafted.describe

    def spy(sample: Sample, groups: tuple[str, ...]) -> Any:
        asked.append(groups)
        return usual(sample, groups)

    monkeypatch.setattr(handcrafted, "describe", spy)
    table = HandcraftedTable(sources, ("lbp", "colour"), PixelsConfig(), Store())
    table.prepare([0, 1])
    assert asked == [("colour",)] * 2 and table.computed == 2
    assert table.matrix(np.array([0, 1])).shape == (2, 54 + 67)


def test_two_tables_at_the_same_time_compute_an_image_once(
    phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [MaskedSource(r.image, r.id) for r in read_manifest(phantoms).rows[:4]]
    rows = range(len(sources))
    meeting = threading.Barrier(2, timeout=60)
    looked, usual_todo, usual_describe = threading.local(), HandcraftedTable._todo, describe
    computed: list[tuple[str, ...]] = []

    def todo(table: HandcraftedTable, rows: Sequence[int]) -> Any:
        found = usual_todo(table, rows)
        if not hasattr(looked, "once"):  # both have seen that all is missing before one begins
            looked.once = True
            meeting.wait()
        return found

    def spy(sample: Sample, groups: tuple[str, ...]) -> Any:
        computed.append(groups)
        return usual_describe(sample, groups)

    monkeypatch.setattr(HandcraftedTable, "_todo", todo)
    monkeypatch.setattr(handcrafted, "describe", spy)
    tables = [
        HandcraftedTable(sources, groups, PixelsConfig(), Store())
        for groups in (("lbp", "colour"), ("colour", "lbp"))
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda table: table.prepare(rows), tables))
    assert len(computed) == len(sources)
    assert sorted((table.computed, table.reused) for table in tables) == [(0, 4), (4, 0)]
    first, second = (table.matrix(np.array(rows)) for table in tables)
    np.testing.assert_array_equal(first[:, :54], second[:, -54:])  # lbp


def test_resizing_takes_the_mask_along(phantoms: Path) -> None:
    [row] = read_manifest(phantoms).rows[:1]
    source = MaskedSource(row.image, row.id, row.mask)
    areas = []
    for size in (48, 96):
        table = HandcraftedTable([source], ("shape",), PixelsConfig(size=size), Store())
        table.prepare([0])
        names = FEATURES.get("shape").names
        areas.append(table.matrix(np.array([0]))[0, names.index("nucleus_area")])
    assert areas[1] == pytest.approx(4 * areas[0])
