"""What was asked: the recipe, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import UNDEFINED


@dataclass(frozen=True)
class Section:
    """One table of the recipe: its settings as (key, value)."""

    name: str
    settings: list[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """The recipe in its author's words, in short, and its full text."""

    about: str
    sections: list[Section]
    toml: str


def asked(run: RunFolder) -> Asked:
    """Return the settings of the recipe; those at its top level come first."""
    tables = {key: value for key, value in run.recipe.items() if isinstance(value, Mapping)}
    top = {key: value for key, value in run.recipe.items() if key not in (*tables, "about")}
    sections = [Section("experiment", list(_settings(top)))] if top else []
    sections += [Section(name, list(_settings(table))) for name, table in tables.items()]
    return Asked(
        about=str(run.recipe.get("about", "")),
        sections=[section for section in sections if section.settings],
        toml=run.recipe_text,
    )


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _settings(value, f"{name}: ")
        else:
            yield name, value_text(value)


def value_text(value: object) -> str:
    """Return a TOML value as a reader would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(value_text, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items())
    return str(value) if value != "" else UNDEFINED
