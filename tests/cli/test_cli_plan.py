"""`cytolens plan`, and `cytolens run --plan`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from cytolens.experiments.plan import inner
from cytolens.experiments.recipe import load_recipe

SMALL = (
    "model.weights=random",
    "pixels.size=48",
    "training.epochs=1",
    "training.batch=8",
    "evaluation.resamples=20",
    'evaluation.test_views=["identity"]',
    "features.engine=torch",
)
SETTINGS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(autouse=True)
def two_inner_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner, "FOLDS", (2,))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_plan(cli: Any, phantoms: Path, place: Path) -> None:
    ended = cli("plan", phantoms, *SETTINGS)
    assert ended.code == 0, ended.err
    assert "recipe  recipe.toml\n" in ended.out
    recipe = load_recipe(place / "recipe.toml")
    assert recipe.split.file == "recipe.split.json"
    assert recipe.name == "recipe" and recipe.about.startswith("Planned for phantoms: ")
    again = cli("plan", phantoms, *SETTINGS)
    assert again.code == 1 and "A plan is in the way" in again.err
    told = cli("plan", phantoms, *SETTINGS, "--overwrite", "--fold", "2/3", "--json").json()
    assert told["test_part"] == "2/3" and told["training_images"] + told["test_images"] == 36
    assert {row["name"] for row in told["candidates"]} >= {"frozen", "finetune"}
    ran = cli("run", "recipe.toml", "--data", phantoms, "--out", "run", "--json")
    assert ran.json()["n"] == told["test_images"]


def test_wrong_options_of_plan(cli: Any, phantoms: Path, place: Path) -> None:
    for options, message in (
        (("--budget", "soon"), "--budget 'soon' is not a time"),
        (("--fold", "6/5"), "--fold '6/5' is not a fold"),
        (("--score", "accurracy"), "did you mean 'accuracy'"),
        (("--out", "plan.json"), "does not end in .toml"),
        (("--set", "split.kind=lodo"), "A plan decides split by itself"),
    ):
        ended = cli("plan", phantoms, *options)
        assert ended.code == 1 and message in ended.err, ended.err
    assert not list(place.glob("*.toml")) and not list(place.glob("*.json"))


@pytest.mark.parametrize(
    "words",
    [
        ("frozen", "--plan"),
        (),
        ("frozen", "--budget", "5m"),
        ("frozen", "--folds", "2"),
        ("--plan", "--fold", "1/3", "--folds", "3"),
        ("--plan", "--folds", "1"),
    ],
)
def test_wrong_usage_of_run(cli: Any, phantoms: Path, place: Path, words: tuple[str, ...]) -> None:
    ended = cli("run", *words, "--data", phantoms)
    assert ended.code == 2 and "Invalid value" in ended.err
    assert not list(place.iterdir())[1:], "nothing but the cache"


def test_run_with_a_plan_goes_on_with_the_plan_that_is_there(
    cli: Any, phantoms: Path, place: Path
) -> None:
    words = ("run", "--plan", "--data", phantoms, "--out", "runs/mine", *SETTINGS)
    first = cli(*words)
    assert first.code == 0, first.err
    text = (place / "runs" / "mine-plan.toml").read_text(encoding="utf-8")
    again = cli(*words, "--overwrite")
    assert again.code == 0 and "going on with runs/mine-plan.toml" in again.err
    assert (place / "runs" / "mine-plan.toml").read_text(encoding="utf-8") == text
    other = cli(*words, "--budget", "5m")
    assert other.code == 1 and "a plan of other images or other options" in other.err


def test_nested_planning_tests_every_image_once(cli: Any, phantoms: Path, place: Path) -> None:
    words = ("run", "--plan", "--data", phantoms, "--folds", "2", *SETTINGS)
    ended = cli(*words, "--json")
    assert ended.code == 0, ended.err
    metrics = ended.json()
    assert (metrics["n"], metrics["protocol"], metrics["leaks"]) == (36, "honest", [])
    run = place / "runs" / "planned-phantoms"
    table = pyarrow.parquet.read_table(run / "predictions.parquet").to_pydict()
    with (run / "manifest.csv").open() as source:
        ids = [row["id"] for row in csv.DictReader(source)]
    assert sorted(table["id"]) == sorted(ids)
    tested = {
        (fold["fold"], name)
        for fold in json.loads((run / "split.json").read_text())["folds"]
        for name in fold["test"]
    }
    assert set(zip(table["fold"], table["id"], strict=True)) == tested
    folds = run.with_name("planned-phantoms-folds")
    names = {path.name for path in folds.iterdir()}
    assert {"fold-1.toml", "fold-1", "fold-2.split.json", "fold-2.plan.json", "fold-2"} <= names
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    compared = cli("compare", run, run.with_name("planned-phantoms-folds") / "fold-1", "--common")
    assert compared.code == 0, compared.err


@pytest.mark.slow
def test_nested_planning_anew_leaves_no_run_of_the_plans_before(
    cli: Any, phantoms: Path, place: Path
) -> None:
    words = ("run", "--plan", "--data", phantoms, "--out", "runs/mine", "--folds", "2", *SETTINGS)
    assert cli(*words).code == 0
    anew = cli(*words, "--set", "training.lr=0.1", "--overwrite")
    assert anew.code == 0, anew.err
    for number in (1, 2):
        run = place / "runs" / "mine-folds" / f"fold-{number}"
        planned = load_recipe(run.with_suffix(".toml"))
        assert planned.training.lr == 0.1
        assert load_recipe(run / "recipe.toml") == planned
