"""The leak ledger: its rows, what they add, and what is used again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.facts import Facts, scan_or_fail
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.ledger import run_ledger
from cytolens.experiments.ledger.entries import Entry, make_entries
from cytolens.experiments.ledger.sentences import ledger_sentences
from cytolens.experiments.ledger.settings import honest_recipe
from cytolens.experiments.predictions_file import read_predictions
from cytolens.experiments.recipe import ExpandConfig, Recipe, load_recipe

REPORT = "cytolens.experiments.run.write_run_report"  # the slowest part of a small run
PLAIN = ["split.validation=0.0"]
ROWS = ("grouped", "near_duplicate", "image", "augmented", "magnification", "early_stopping")

pytestmark = pytest.mark.usefixtures("no_report", "shared_cache")


@pytest.fixture(scope="module")
def smears(phantoms: Path) -> Manifest:
    """Return the phantoms with a magnification each; patients have both."""
    manifest = read_manifest(phantoms)
    seen: dict[str | None, int] = {}
    rows = []
    for row in manifest.rows:
        seen[row.group] = seen.get(row.group, 0) + 1
        rows.append(replace(row, magnification="100X" if seen[row.group] % 2 else "40X"))
    return manifest.with_rows(rows)


@pytest.fixture
def plain(tiny_toml: Path) -> Recipe:
    return load_recipe(tiny_toml, PLAIN)


def changed(manifest: Manifest, **values: Any) -> Manifest:
    return manifest.with_rows([replace(row, **values) for row in manifest.rows])


def entries(manifest: Manifest, recipe: Recipe, facts: Facts | None = None) -> dict[str, Entry]:
    found = make_entries(manifest, facts or scan_or_fail(manifest), honest_recipe(recipe)[0])
    assert tuple(entry.name for entry in found) == ROWS
    assert all((entry.recipe is None) == (entry.skipped is not None) for entry in found)
    return {entry.name: entry for entry in found}


def alike(facts: Facts, *pairs: tuple[int, int]) -> Facts:
    """Return facts in which the second of each pair looks like the first."""
    hashes, thumbs = facts.phash.copy(), facts.thumbs.copy()
    for of, copy in pairs:
        hashes[copy], thumbs[copy] = hashes[of], thumbs[of]
    return replace(facts, phash=hashes, thumbs=thumbs)


@pytest.fixture(scope="module")
def made(
    smears: Manifest,
    tiny_toml: Path,
    common_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Any], Path]:
    """Return a whole ledger and its folder; not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "ledger"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYTOLENS_CACHE", str(common_cache))
        patch.setattr(REPORT, lambda run: (run / "report.html").write_text(""))
        return run_ledger(smears, load_recipe(tiny_toml, PLAIN), folder), folder


def test_every_row_is_a_run_with_its_inflation(made: tuple[dict[str, Any], Path]) -> None:
    content, folder = made
    rows = {row["name"]: row for row in content["rows"]}
    assert tuple(rows) == ROWS
    assert (content["n"], content["unit"], content["units"]) == (36, "group", 12)
    assert rows["grouped"]["protocol"] == "honest" and rows["grouped"]["inflation"] is None
    assert "no two images look alike" in rows["near_duplicate"]["skipped"]
    for name in ("image", "augmented", "magnification", "early_stopping"):
        row = rows[name]
        assert row["protocol"] == "published" and row["leaks"] and row["skipped"] is None
        gain = row["inflation"]["accuracy"]
        assert gain["low"] <= gain["value"] <= gain["high"]
        against = row["reference"] or rows["grouped"]
        for score in ("accuracy", "auc"):
            gain = row["inflation"][score]
            assert gain["value"] == pytest.approx(row[score]["value"] - against[score]["value"])
    assert rows["early_stopping"]["leaks"] == ["the test part chose the epoch (training.choose_on)"]
    assert rows["magnification"]["n"] < 36
    assert rows["magnification"]["reference"]["protocol"] == "honest"
    assert read_json(folder / "ledger.json", "ledger") == content
    assert (folder / "ledger.html").is_file() and (folder / "figures" / "ledger.png").is_file()


def test_rows_differ_in_what_they_say_alone(made: tuple[dict[str, Any], Path]) -> None:
    content, folder = made
    splits = {
        name: read_json(folder / name / "split.json", "split")
        for name in ("grouped", "early_stopping", "image", "magnification")
    }
    reference = splits["grouped"]["folds"]
    assert splits["early_stopping"]["folds"] == reference
    assert splits["image"]["folds"] != reference
    metrics = {n: read_json(folder / n / "metrics.json", "metrics") for n in splits}
    for row in content["rows"]:
        if row["name"] in metrics:
            assert row["accuracy"] == metrics[row["name"]]["accuracy"]
    tested = [name for fold in splits["magnification"]["folds"] for name in fold["test"]]
    assert len(tested) == content["rows"][4]["n"]


def test_augmented_is_scored_on_the_originals(made: tuple[dict[str, Any], Path]) -> None:
    content, folder = made
    row = content["rows"][3]
    classes = tuple(content["classes"])
    grown = read_predictions(folder / "augmented" / "predictions.parquet", classes)
    assert (row["n"], grown.images) == (36, 108)
    originals = [not name.startswith("expanded/") for name in grown.ids]
    right = (grown.predicted == grown.labels)[np.array(originals)]
    assert row["accuracy"]["value"] == pytest.approx(right.mean())
    assert "the original images alone are scored" in row["what"]


def test_finished_rows_are_used_again(
    made: tuple[dict[str, Any], Path],
    smears: Manifest,
    plain: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, folder = made
    ran: list[str] = []
    monkeypatch.setattr(
        "cytolens.experiments.ledger.run.run_recipe", lambda _, __, out, **___: ran.append(out.name)
    )
    assert run_ledger(smears, plain, folder) == content
    assert ran == []
    with pytest.raises(InputError) as caught:
        run_ledger(smears, replace(plain, seed=1), folder)
    assert "holds a ledger with another recipe" in str(caught.value)
    with pytest.raises(InputError, match="holds a ledger with another data"):
        run_ledger(changed(smears, magnification=None), plain, folder)


def test_another_folder_is_left_alone(smears: Manifest, tiny: Recipe, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    with pytest.raises(InputError, match="holds something else than a ledger"):
        run_ledger(smears, tiny, tmp_path / "mine")


def test_without_groups(phantoms: Path, tiny: Recipe, tmp_path: Path) -> None:
    """Labels of a map are applied once, and unknown patients are told."""
    recipe = replace(
        tiny,
        data=replace(
            tiny.data,
            label_map={"NILM": "normal", "LSIL": "abnormal", "HSIL": "abnormal", "SCC": ""},
        ),
    )
    content = run_ledger(changed(read_manifest(phantoms), group=None), recipe, tmp_path / "ledger")
    rows = {row["name"]: row for row in content["rows"]}
    assert content["classes"] == ["abnormal", "normal"] and content["n"] == 27
    assert rows["grouped"]["title"] == "By image (reference)"
    assert rows["image"]["skipped"] == "every unit is one image: this is the reference"
    assert rows["magnification"]["skipped"] == "no magnification"
    assert rows["early_stopping"]["run"] == "early_stopping"
    said = "There are no groups: patient leakage cannot be excluded in any row."
    assert content["sentences"][1] == said and said in content["notes"]


def test_near_duplicates(smears: Manifest, tiny: Recipe) -> None:
    facts = scan_or_fail(smears)
    groups = [row.group for row in smears.rows]
    across = next(i for i, name in enumerate(groups) if name != groups[0])
    found = entries(smears, tiny, alike(facts, (0, across)))
    recipe = found["near_duplicate"].recipe
    assert recipe is not None
    assert (recipe.protocol, recipe.split.unit) == ("published", "near_duplicate")
    alone = entries(changed(smears, group=None), tiny, alike(facts, (0, across)))
    assert alone["near_duplicate"].skipped == "no groups: this is the reference"
    assert alone["grouped"].title == "Near duplicates together (reference)"
    assert alone["image"].recipe is not None
    assert alone["magnification"].skipped == "no groups"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["40X"] * 36, "one magnification only (40X)"),
        ([None] + ["40X", "100X"] * 17 + ["40X"], "not every image has a magnification"),
    ],
)
def test_no_magnification_row(
    smears: Manifest, tiny: Recipe, values: list[str | None], said: str
) -> None:
    rows = [replace(r, magnification=v) for r, v in zip(smears.rows, values, strict=True)]
    assert entries(smears.with_rows(rows), tiny)["magnification"].skipped == said


def test_magnification_of_different_patients(smears: Manifest, tiny: Recipe) -> None:
    rows = [
        replace(r, magnification="40X" if str(r.group) < "patient_006" else "100X")
        for r in smears.rows
    ]
    said = "no group with images at 40X has images at another magnification"
    assert entries(smears.with_rows(rows), tiny)["magnification"].skipped == said


def test_the_weakest_magnification_is_tested_unless_told(smears: Manifest, plain: Recipe) -> None:
    def tested(recipe: Recipe) -> tuple[str, ...]:
        found = entries(smears, recipe)["magnification"].recipe
        assert found is not None
        return found.split.test_values

    assert tested(plain) == ("40X",)
    assert tested(replace(plain, split=replace(plain.split, test_values=("100X",)))) == ("100X",)


def test_a_magnification_too_small_to_be_split(smears: Manifest, tiny: Recipe) -> None:
    """With a validation part of its own, too few images are left."""
    skipped = str(entries(smears, tiny)["magnification"].skipped)
    assert skipped.startswith("no honest reference: The classes are too small for 4 parts")


def test_partly_known_groups(smears: Manifest, tiny: Recipe) -> None:
    rows = [replace(smears.rows[0], group=None), *smears.rows[1:]]
    found = entries(smears.with_rows(rows), tiny)
    assert found["early_stopping"].skipped == "only some images have a group"
    assert found["magnification"].skipped == "not every image has a group"


def test_recipes_without_epochs(smears: Manifest, tiny: Recipe) -> None:
    one = replace(tiny, training=replace(tiny.training, epochs=1))
    assert "one epoch" in str(entries(smears, one)["early_stopping"].skipped)
    fitted = replace(tiny, classifier=replace(tiny.classifier, kind="svm_rbf"))
    assert "fitted once" in str(entries(smears, fitted)["early_stopping"].skipped)


def test_the_reference_is_honest_whatever_the_recipe(tiny: Recipe) -> None:
    leaky = replace(
        tiny,
        protocol="published",
        split=replace(tiny.split, unit="image"),
        training=replace(tiny.training, choose_on="test"),
        expand=ExpandConfig("before_split", 2),
    )
    honest, notes = honest_recipe(leaky)
    assert (honest.protocol, honest.split.unit) == ("honest", "auto")
    assert (honest.training.choose_on, honest.expand.when) == ("validation", "train")
    assert len(notes) == 3


def test_only_a_kfold(tiny: Recipe) -> None:
    with pytest.raises(InputError) as caught:
        honest_recipe(replace(tiny, split=replace(tiny.split, kind="holdout")))
    assert "pass --set split.kind=kfold" in str(caught.value)


def score(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (score(0.035, 0.009, 0.059), "adds 3.5 (0.9–5.9) points of accuracy that are not skill."),
        (
            score(0.004, -0.01, 0.018),
            "is not shown to add anything: +0.4 (−1.0 to 1.8) points of accuracy.",
        ),
        (score(-0.02, -0.03, -0.01), "costs 2.0 (1.0–3.0) points of accuracy."),
        (score(0.1, None, None), "cannot be judged: there is no interval."),
    ],
)
def test_sentences(gain: dict[str, Any], said: str) -> None:
    rows = [
        {"name": "grouped", "accuracy": score(0.5, 0.4, 0.6), "inflation": None},
        {"name": "near_duplicate", "accuracy": None, "inflation": None},
        {"name": "image", "accuracy": score(0.6, 0.5, 0.7), "inflation": {"accuracy": gain}},
    ]
    found = ledger_sentences(rows, "group")
    assert len(found) == 2
    assert found[1] == f"Splitting by image instead of by group {said}"


def test_not_all_that_copies_add_is_called_a_leak() -> None:
    gain = {"accuracy": score(0.035, 0.009, 0.059)}
    rows = [
        {"name": "grouped", "accuracy": score(0.5, 0.4, 0.6), "inflation": None},
        {"name": "augmented", "accuracy": score(0.6, 0.5, 0.7), "inflation": gain},
    ]
    assert ledger_sentences(rows, "group")[1].endswith(
        "adds 3.5 (0.9–5.9) points of accuracy, of which training on copies may have earned a part."
    )
