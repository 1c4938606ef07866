"""Write a plan: the commented recipe, its split file, and all that was measured."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from cytolens.core.config import from_dict, to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_json, write_json, write_text, writing
from cytolens.data.facts import scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.experiments.identity import of_images, of_masks
from cytolens.experiments.plan.comments import header, reasons
from cytolens.experiments.plan.make import Plan, Question
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.splits.plan import SplitConfig

# Written even where they are the default: somebody decided them.
_DECIDED = (
    "pixels.size",
    "model.backbone",
    "model.weights",
    "model.freeze",
    "model.head",
    "training.regime",
    "training.epochs",
    "training.batch",
    "training.lr",
    "evaluation.test_views",
    "seed",
)


@dataclass(frozen=True)
class PlanFiles:
    """Where a plan lies: `X.toml`, `X.split.json` and `X.plan.json`."""

    recipe: Path

    @property
    def split(self) -> Path:
        return self.recipe.with_suffix(".split.json")

    @property
    def plan(self) -> Path:
        return self.recipe.with_suffix(".plan.json")

    def check(self, *, overwrite: bool) -> None:
        """Refuse a place that is taken, or a name that is no recipe's.

        Raises:
            InputError: no `.toml`, or files that are there already.
        """
        if self.recipe.suffix != ".toml":
            raise InputError(f"{self.recipe} does not end in .toml.", fix="choose another --out.")
        taken = [str(p) for p in (self.recipe, self.split, self.plan) if p.exists()]
        if taken and not overwrite:
            raise InputError(
                "A plan is in the way.",
                rows=taken,
                fix="choose another --out, or pass --overwrite.",
            )


def identity(manifest: Manifest, question: Question) -> str:
    """Return what must be the same for a plan to answer a question again."""
    images = of_images(manifest, scan_or_fail(manifest))
    content = {"question": asdict(question), "images": images, "masks": of_masks(manifest)}
    return sha256_json(content)


def write_plan(plan: Plan, files: PlanFiles, answers: str) -> Recipe:
    """Write the three files, the recipe last, and return the recipe as it reads back.

    Args:
        answers: see `identity`.

    Raises:
        InputError: the place cannot be written.
    """
    split = SplitConfig(kind="file", file=str(files.split))
    recipe = replace(plan.recipe, name=files.recipe.stem, split=split)
    text = recipe_text(recipe, header(plan.content), reasons(recipe, plan.content))
    with writing(files.recipe, "the plan"):
        plan.split.write(files.split)
        write_json(files.plan, {**plan.content, "identity": answers, "recipe": to_dict(recipe)})
        write_text(files.recipe, text)
    read = load_recipe(files.recipe)
    assert read == recipe, "the written recipe says what was chosen"
    return read


def read_plan(files: PlanFiles, answers: str) -> Recipe | None:
    """Return the recipe of a plan that was written before, or None where there is none.

    Raises:
        InputError: the plan there answers another question or is of other images.
    """
    if not files.recipe.exists():
        return None
    content = read_json(files.plan, "plan")
    if not isinstance(content, dict) or content.get("identity") != answers:
        raise InputError(
            f"{files.recipe} is a plan of other images or other options.",
            fix="choose another --out, or pass --overwrite.",
        )
    return load_recipe(files.recipe)


def recipe_text(recipe: Recipe, top: str, why: Mapping[str, str]) -> str:
    """Return TOML with comments: what differs from the defaults, and what was decided.

    Args:
        top: lines of the first comment.
        why: {"table.key": reason}, written above the key.
    """
    wanted = _without_defaults(to_dict(recipe), to_dict(Recipe()))
    for name in _DECIDED:
        _put(wanted, name, to_dict(recipe))
    ordered = {key: wanted[key] for key in to_dict(recipe) if key in wanted}
    lines = [f"# {line}".rstrip() for line in top.splitlines()]
    lines.append("")
    table = ""
    for line in tomli_w.dumps(ordered).splitlines():
        if found := re.fullmatch(r"\[([\w.]+)\]", line):
            table = found[1]
            key = table
        elif found := re.match(r"(\w+) = ", line):
            key = f"{table}.{found[1]}" if table else found[1]
        else:
            key = ""
        lines += [f"# {part}" for part in why.get(key, "").splitlines()]
        lines.append(line)
    text = "\n".join(lines) + "\n"
    assert from_dict(Recipe, tomllib.loads(text), "the plan") == recipe
    return text


def _without_defaults(values: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            if inside := _without_defaults(value, defaults[key]):
                kept[key] = inside
        elif key not in defaults or value != defaults[key]:
            kept[key] = value
    return kept


def _put(target: dict[str, Any], name: str, source: Mapping[str, Any]) -> None:
    """Copy "table.key" from one nested dict to another."""
    *tables, leaf = name.split(".")
    for table in tables:
        target = target.setdefault(table, {})
        source = source[table]
    target[leaf] = source[leaf]
