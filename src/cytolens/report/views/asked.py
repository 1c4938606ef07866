"""What was asked: the recipe, section by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import UNDEFINED
from cytolens.report.views.method import method, without_effect


@dataclass(frozen=True)
class Section:
    """One table of the recipe: its settings as (key, value)."""

    name: str
    settings: list[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """The recipe in its author's words, its method in ours, its settings, and its full text."""

    about: str
    method: list[str]
    sections: list[Section]
    toml: str


def asked(run: RunFolder) -> Asked:
    """Return the settings of the recipe; those at its top level come first.

    Tables without an effect on this run are left to the full text.
    """
    unused = without_effect(run)
    tables = {
        name: {key: value for key, value in table.items() if f"{name}.{key}" not in unused}
        for name, table in run.recipe.items()
        if isinstance(table, Mapping) and name not in unused
    }
    top = {
        key: value
        for key, value in run.recipe.items()
        if not isinstance(value, Mapping) and key != "about"
    }
    sections = [Section("experiment", list(_settings(top)))] if top else []
    sections += [Section(name, list(_settings(table))) for name, table in tables.items()]
    return Asked(
        about=str(run.recipe.get("about", "")),
        method=method(run),
        sections=[section for section in sections if section.settings],
        toml=run.recipe_text,
    )


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            yield name, "as a table"
        elif isinstance(value, Mapping):
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
