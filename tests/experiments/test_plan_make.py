"""A plan locks a test part, looks at the rest alone, and writes a recipe that runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.errors import InputError
from cytolens.data.facts import scan_or_fail
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.plan import inner, make
from cytolens.experiments.plan.backbones import PREFERRED, backbones_at_hand
from cytolens.experiments.plan.fingerprint import fingerprint
from cytolens.experiments.plan.make import Plan, Question, make_plan
from cytolens.experiments.plan.outer import Part, outer_split
from cytolens.experiments.plan.write import PlanFiles, identity, read_plan, write_plan
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.run import run_recipe
from cytolens.models.weights import TINY
from cytolens.splits.plan import SplitConfig, make_split
from cytolens.splits.split import read_split

SMALL = (
    "model.weights=random",
    "pixels.size=48",
    "training.epochs=2",
    "training.batch=8",
    "evaluation.resamples=20",
    'evaluation.test_views=["identity"]',
    "features.engine=torch",
)
ASKED = Question(budget=600, settings=SMALL)


@pytest.fixture(autouse=True, scope="module")
def two_inner_folds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inner, "FOLDS", (2,))
        yield


@pytest.fixture(scope="module")
def manifest(phantoms: Path) -> Manifest:
    return read_manifest(phantoms)


@pytest.fixture(scope="module")
def planned(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, PlanFiles]:
    folder = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYTOLENS_CACHE", str(folder / "cache"))
        patch.delenv("CYTOLENS_WEIGHTS", raising=False)
        plan = make_plan(manifest, ASKED)
        files = PlanFiles(folder / "mine.toml")
        write_plan(plan, files, identity(manifest, ASKED))
    return plan, files


def test_the_shipped_recipes_are_always_candidates(planned: tuple[Plan, PlanFiles]) -> None:
    content = planned[0].content
    rows = {row["name"]: row for row in content["candidates"]}
    assert rows["frozen"]["tried"] and rows["finetune"]["tried"]
    assert content["reference"] == "finetune"
    assert rows["frozen"]["images"] == content["training_images"] == 36 - content["test_images"]
    for name, row in rows.items():
        assert row["tried"] != bool(row["skipped"]), name
        if row["tried"]:
            assert row["score"]["low"] <= row["score"]["value"] <= row["score"]["high"]
            assert (row["lead"] is None) == (name == "finetune")
    assert rows[content["chosen"]]["tried"]
    assert "finetune-half" in rows
    equal = {"frozen-flips", "finetune-224", "finetune-long"}
    assert not equal & set(rows), "settings that hold for all make them equal to a shipped recipe"


def test_the_recipe_reads_back_and_says_why(planned: tuple[Plan, PlanFiles]) -> None:
    plan, files = planned
    text = files.recipe.read_text(encoding="utf-8")
    recipe = load_recipe(files.recipe)
    assert recipe.model == plan.recipe.model and recipe.training == plan.recipe.training
    assert recipe.name == "mine" and recipe.split.kind == "file"
    for said in (
        f"# Planned for phantoms: {plan.content['chosen']}.",
        "nobody has looked at the test",
        "# Note: weights of mobilenetv2_100 are not at hand: cytolens_tiny stands in.",
        "#   candidate ",
        "# No other head was tried.\nhead = ",
        "# Choice: ",
    ):
        assert said in text
    for row in plan.content["candidates"]:
        assert f" {row['name']} " in text
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("#   "))
    found = json.loads(files.plan.read_text(encoding="utf-8"))
    assert found["recipe"]["model"]["backbone"] == TINY


def test_the_run_of_the_recipe_tests_the_locked_part(
    planned: tuple[Plan, PlanFiles], manifest: Manifest, tmp_path: Path
) -> None:
    plan, files = planned
    run = run_recipe(load_recipe(files.recipe), manifest, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["protocol"], metrics["leaks"]) == ("honest", [])
    assert metrics["n"] == plan.content["test_images"]
    fold = read_split(files.split, manifest).folds[0]
    groups = {row.id: row.group for row in manifest.rows}
    assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.test}
    assert set(fold.train) | set(fold.test) == set(manifest.ids) and not fold.validation


def test_test_images_are_not_read_once_they_are_locked(
    planned: tuple[Plan, PlanFiles], phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(phantoms, tmp_path / "phantoms")
    copy = read_manifest(tmp_path / "phantoms")
    removed: list[Path] = []

    def lock_and_remove(images: Manifest, *rest: Any) -> Any:
        split = outer_split(images, *rest)
        for name in split.folds[0].test:
            removed.append(images.rows[images.index[name]].image)
            removed[-1].unlink()
        return split

    monkeypatch.setattr(make, "outer_split", lock_and_remove)
    plan = make_plan(copy, ASKED)
    assert len(removed) == plan.content["test_images"] > 0
    scores = {row["name"]: row["score"] for row in plan.content["candidates"] if row["tried"]}
    before = {r["name"]: r["score"] for r in planned[0].content["candidates"] if r["tried"]}
    assert scores == before, "the same choice was made without them"
    assert plan.recipe == planned[0].recipe


def test_a_plan_that_is_there_is_read_again_and_another_question_is_refused(
    planned: tuple[Plan, PlanFiles], manifest: Manifest
) -> None:
    files = planned[1]
    assert read_plan(files, identity(manifest, ASKED)) == load_recipe(files.recipe)
    assert read_plan(PlanFiles(files.recipe.with_name("none.toml")), "") is None
    other = replace(ASKED, budget=5)
    with pytest.raises(InputError, match="a plan of other images or other options"):
        read_plan(files, identity(manifest, other))
    with pytest.raises(InputError, match="A plan is in the way"):
        files.check(overwrite=False)
    files.check(overwrite=True)
    with pytest.raises(InputError, match="does not end in .toml"):
        PlanFiles(files.recipe.with_suffix(".txt")).check(overwrite=True)


def test_a_fold_is_that_of_the_k_fold(manifest: Manifest) -> None:
    from cytolens.core.progress import Silent

    config = SplitConfig(kind="kfold", folds=3, validation=0.0)
    split, _ = make_split(manifest, scan_or_fail(manifest), config, "honest", 0)
    tested = []
    for number in (1, 2, 3):
        [fold] = outer_split(manifest, Part(number, 3), 0, Silent()).folds
        assert set(fold.test) == set(split.folds[number - 1].test)
        assert (fold.fold, fold.repeat) == (0, 0)
        tested += fold.test
    assert sorted(tested) == sorted(manifest.ids)


def test_without_time_the_rules_decide(manifest: Manifest) -> None:
    times = iter([0.0])
    plan = make_plan(manifest, ASKED, now=lambda: next(times, 1e6))
    content = plan.content
    assert content["chosen"] == "frozen" and content["reference"] is None
    assert content["reason"].startswith("by rule: nothing could be tried, and a frozen backbone")
    assert {row["skipped"] for row in content["candidates"]} == {"not tried: no time was left"}


def test_what_does_not_fit_is_listed_with_its_time(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cytolens.experiments.plan.race import Race

    def slow(self: Race, recipe: Recipe, number: int) -> float:
        del self, number
        return 1.0 if recipe.model.freeze == "all" else 600.0

    monkeypatch.setattr(Race, "predict", slow)
    plan = make_plan(manifest, replace(ASKED, budget=300))
    content = plan.content
    rows = {row["name"]: row for row in content["candidates"]}
    assert content["reference"] == "frozen" and rows["frozen"]["tried"]
    assert rows["finetune"]["skipped"].replace("\N{NARROW NO-BREAK SPACE}", " ") == (
        "not tried: would take 10 min 00 s, and with a third of the epochs 10 min 00 s"
    )
    assert any("a larger --budget would try it" in note for note in content["notes"])


def test_a_small_set_is_planned_by_rule(manifest: Manifest, tmp_path: Path) -> None:
    """Two patients a class: one is locked, and one cannot be validated inside."""
    seen: dict[str, list[int]] = {}
    for number, row in enumerate(manifest.rows):
        if len(seen.setdefault(row.label, [])) < 2:
            seen[row.label].append(number)
    few = manifest.select([n for numbers in seen.values() for n in numbers])
    few = few.with_rows([replace(row, group=row.id) for row in few.rows])
    plan = make_plan(few, ASKED)
    assert plan.content["inner"] is None and plan.content["chosen"] == "frozen"
    [note] = [n for n in plan.content["notes"] if n.startswith("by rules alone")]
    assert "too small to be split" in note
    files = PlanFiles(tmp_path / "few.toml")
    write_plan(plan, files, "")
    text = files.recipe.read_text(encoding="utf-8")
    assert "# No candidate was tried." in text
    assert "# By rule: with so few images, only a head is trained.\nfreeze" in text


def test_one_class_is_refused(manifest: Manifest) -> None:
    one = manifest.relabelled(dict.fromkeys(manifest.classes, "cell"))
    with pytest.raises(InputError, match="1 class; two are needed"):
        make_plan(one, ASKED)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("split.folds=3",), "A plan decides split by itself"),
        (("protocol=published", "expand.factor=2"), "A plan decides expand, protocol by itself"),
        (("training.regime=contrastive",), "A plan decides training.regime by itself"),
        (("trainning.epochs=3",), "trainning: unknown key (did you mean 'training'?)"),
        (("training.epochs=none",), "expected a whole number"),
        (("model.backbone",), "is not key=value"),
    ],
)
def test_wrong_settings(manifest: Manifest, settings: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        make_plan(manifest, Question(settings=settings))
    assert message in str(error.value)


def test_an_unknown_score(manifest: Manifest) -> None:
    with pytest.raises(InputError, match="Unknown score 'acuracy' .did you mean 'accuracy'"):
        make_plan(manifest, Question(score="acuracy"))


def test_settings_that_leave_no_room_for_fine_tuning_are_noted(manifest: Manifest) -> None:
    numbers = ("rotation", "width_shift", "height_shift", "zoom", "brightness", "contrast")
    switches = ("horizontal_flip", "vertical_flip", "quarter_turns")
    still = [*(f"augment.{n}=0.0" for n in numbers), *(f"augment.{n}=false" for n in switches)]
    content = make_plan(manifest, replace(ASKED, settings=(*SMALL, *still))).content
    assert content["reference"] == "frozen"
    assert any(n.startswith("finetune does not go with the settings") for n in content["notes"])


def test_the_fingerprint(manifest: Manifest) -> None:
    found = fingerprint(manifest, scan_or_fail(manifest), backbones_at_hand(), 0)
    assert (found.images, found.units, found.groups, found.unit) == (36, 12, 12, "group")
    assert found.side == {"min": 48, "median": 48, "max": 48}
    assert sum(found.counts.values()) == 36 and found.imbalance >= 1
    assert found.colour is not None and found.colour["by"] == "dataset"
    assert 0 < found.colour["between"] < 1
    assert found.backbones == (TINY,)


def test_weights_in_the_folder_are_at_hand_and_wrong_ones_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYTOLENS_WEIGHTS", str(tmp_path))
    (tmp_path / "resnet50.safetensors").write_bytes(b"nothing")
    found = backbones_at_hand()
    assert found.names == (TINY,)
    assert found.notes[0].startswith("weights of resnet50 are not used: No card says")
    card = {"backbone": "resnet50", "input_size": [64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "resnet50.json").write_text(json.dumps(card))
    found = backbones_at_hand()
    assert found.names == ("resnet50",)
    assert found.notes == (f"weights of {PREFERRED} are not at hand: resnet50 stands in",)
