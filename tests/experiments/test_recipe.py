"""Recipes: what ships loads, every mistake at once, and what ran can be read back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cytolens.core.config import from_dict, to_dict, to_toml
from cytolens.core.errors import InputError
from cytolens.experiments.recipe import Recipe, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_round_trips(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.about.endswith(".")
    assert from_dict(Recipe, tomllib.loads(to_toml(recipe)), name) == recipe


def test_the_bases_ship() -> None:
    assert {"demo", "finetune", "frozen"} <= set(shipped_recipes())


def _message(path: Path, *settings: str) -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(path, settings)
    return str(caught.value)


def test_all_unknown_keys_are_named_at_once_with_suggestions(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[trainig]\nepochs = 3\n[training]\nepoch = 3\n[model]\nbackbone = 7\n")
    assert _message(path) == (
        f"{path} has 3 wrong settings.\n"
        "  - trainig: unknown key (did you mean 'training'?)\n"
        "  - training.epoch: unknown key (did you mean 'epochs'?)\n"
        "  - model.backbone: expected a text, got 7\n"
        "Way out: correct these settings; docs/reference/recipe.md lists them all."
    )


@pytest.mark.parametrize("content", [b"\xff\xfe", b"epochs = ", b"[a"])
def test_what_is_not_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    assert _message(path).startswith(f"{path} is not TOML: ")


def test_a_recipe_that_does_not_exist_and_one_that_is_a_folder(tmp_path: Path) -> None:
    names = ", ".join(shipped_recipes())
    assert _message(Path("frosen")) == (
        "There is no recipe 'frosen' (did you mean 'frozen'?).\n"
        f"Expected: a TOML file, or one of {names}, or an experiment of a paper "
        "(`cytolens recipes`)"
    )
    assert _message(tmp_path) == f"The recipe at {tmp_path} cannot be read: Is a directory."


def test_settings_win_over_the_file_in_order(tiny_toml: Path) -> None:
    recipe = load_recipe(
        tiny_toml,
        ["seed=3", "training.epochs=4", "training.epochs=5", "model.freeze=0.5", "name=other"],
    )
    assert recipe.seed == 3 and recipe.training.epochs == 5
    assert recipe.model.freeze == 0.5 and recipe.name == "other"
    assert recipe.training.batch == 8, "what is not set stays"


def test_the_name_is_the_files_own(tiny: Recipe) -> None:
    assert tiny.name == "tiny"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "expand.when=before_split",
            "Augmenting before the split puts copies of one image on both sides.\n"
            'Expected: expand.when = "train" under the honest protocol\n'
            'Way out: or set protocol = "published": every number then carries the stamp "leaks".',
        ),
        (
            "training.views=2",
            "training.views = 2 asks for augmented views, but [augment] changes nothing.\n"
            "Way out: set one of augment.rotation, augment.horizontal_flip, …, or views = 0.",
        ),
        ("seed=-1", "seed = -1 is negative."),
        ("nonsense", "--set 'nonsense' is not key=value.\nExpected: training.epochs=20"),
        ("training.epochs.x=1", "--set 'training.epochs.x=1': 'epochs' is a value, not a table."),
    ],
)
def test_what_cannot_be_meant_is_refused(tiny_toml: Path, setting: str, message: str) -> None:
    assert message in _message(tiny_toml, setting)


def test_a_runs_recipe_is_the_recipe_with_every_default(tiny_run: Path, tiny: Recipe) -> None:
    assert load_recipe(tiny_run / "recipe.toml") == tiny
    written = tomllib.loads((tiny_run / "recipe.toml").read_text())
    assert written == to_dict(Recipe()) | written, "every table and key is written out"
    assert set(written["training"]) == set(to_dict(Recipe())["training"])


def test_an_expansion_that_never_happens_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[expand]\nfactor = 3\n")
    with pytest.raises(InputError, match='have no effect with when = "never"'):
        load_recipe(path)
