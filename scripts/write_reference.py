"""Write the generated tables of the documentation, or check that they are up to date.

    python scripts/write_reference.py            writes them
    python scripts/write_reference.py --check    exits 1 and names the stale pages

The tables are made from registries, dataclasses, the catalog and the command line; `table_writer`
puts them where pages ask for them.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from collections.abc import Callable, Iterator
from typing import Any

import typer
from clinic_tables import operations, rights
from table_writer import code, fields, summary, table, write_pages

from cytolens.cli.main import app
from cytolens.core.config import load_toml
from cytolens.data.catalog import CATALOG, Dataset
from cytolens.data.loading import IMAGE_SUFFIXES
from cytolens.data.phantom import KINDS, PhantomConfig
from cytolens.data.reading import MAX_PIXELS, MIN_SIDE
from cytolens.evaluation import FUSIONS
from cytolens.evaluation.metrics import OVERALL, PER_CLASS
from cytolens.experiments.harmonise import harmonisations
from cytolens.experiments.papers.paper import (
    Paper,
    Published,
    load_paper,
    load_published,
    paper_names,
)
from cytolens.experiments.recipe import Recipe, shipped_recipes
from cytolens.explain import METHODS
from cytolens.features.engines import ENGINES
from cytolens.models.backbones import PAPER_BACKBONES
from cytolens.models.cards import Card, read_card, shipped_cards
from cytolens.models.classical.classifiers import CLASSIFIERS
from cytolens.models.classical.features import FEATURE_SETS, FEATURES
from cytolens.models.freezing import KERAS_CONVOLUTIONS
from cytolens.models.heads import HEADS
from cytolens.pixels.steps import STEPS
from cytolens.pixels.views import TEST_VIEWS
from cytolens.report.views.names import OVERALL as WORDS
from cytolens.training.contrastive.losses import PAIR_LOSSES
from cytolens.training.cost.bethesda import COSTS, NAMES
from cytolens.training.cost.matrix import COST_MATRICES


def recipe() -> str:
    parts = ["### Top of the file", fields(Recipe)]
    hints = typing.get_type_hints(Recipe)
    for field in dataclasses.fields(Recipe):
        cls = hints[field.name]
        if dataclasses.is_dataclass(cls):
            parts += [f"### `[{field.name}]`", fields(typing.cast(type[Any], cls))]
    return "\n\n".join(parts)


def steps() -> str:
    parts = []
    for name in STEPS:
        parts += [f"### `{name}`", summary(STEPS.get(name)), fields(STEPS.get(name))]
    return "\n\n".join(parts)


def commands() -> str:
    return "\n\n".join(_command(typer.main.get_command(app), "cytolens"))


def _command(command: Any, name: str) -> Iterator[str]:
    if inner := getattr(command, "commands", None):
        for word in inner:
            yield from _command(inner[word], f"{name} {word}")
        return
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    usage = [name, *(_placeholder(p) for p in arguments), "[OPTIONS]"]
    yield f"### `{name}`\n\n{' '.join(command.help.split())}\n\n```text\n{' '.join(usage)}\n```"
    rows = [
        (code(p.opts[0] if p.opts[0].startswith("-") else _placeholder(p)), _usual(p), p.help)
        for p in command.params
        if p.name != "help"
    ]
    yield table(("argument or option", "default", "meaning"), rows)


def _placeholder(parameter: Any) -> str:
    word = parameter.name.upper() + (" …" if parameter.nargs == -1 else "")
    return word if parameter.required else f"[{word}]"


def _usual(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if isinstance(value, bool) or value is None or value == []:
        return ""
    return code(str(value))


def catalog() -> str:
    rows = []
    for name in CATALOG:
        known = CATALOG.get(name)
        images = f"{sum(known.counts.values()):,}" if known.counts else "any"
        classes = str(len(known.classes)) if known.classes else "any"
        link = f"[`{name}`](#{name})"
        rows.append((link, known.title, images, classes, known.licence))
    parts = [table(("name", "set", "images", "classes", "licence"), rows)]
    for name in CATALOG:
        parts += _dataset(CATALOG.get(name))
    return "\n\n".join(parts)


def _dataset(known: Dataset) -> Iterator[str]:
    yield f"### {known.name}\n\n{known.title}."
    facts = [
        ("how to get it", known.obtain),
        ("published tree", code(known.tree)),
        ("group", known.group + (f" ({known.groups} groups)" if known.groups else "")),
        ("masks", "converted on import" if known.mask_of else "none, or as the manifest says"),
        ("licence", known.licence),
        ("cite", known.citation or "—"),
    ]
    yield "\n".join(f"- **{what}**: {text}" for what, text in facts)
    rows = []
    for variant in known.variants:
        counts = ", ".join(f"{label} {n:,}" for label, n in variant.counts.items())
        rows.append((code(variant.name), variant.what, counts or "as they stand"))
    yield table(("variant", "what it is", "published images a class"), rows)
    if known.notes:
        yield "\n".join(f"- {note}" for note in known.notes)


def metrics() -> str:
    return table(
        ("key", "name", "in words", "better"),
        (
            (
                code(name),
                WORDS[name].title,
                WORDS[name].words,
                "higher" if WORDS[name].more_is_better else "lower",
            )
            for name in OVERALL
        ),
    )


def backbones() -> str:
    rows = ((code(paper), code(timm)) for paper, timm in PAPER_BACKBONES.items())
    return table(("name in the papers", "name in timm"), rows)


def keras() -> str:
    rows = (
        (code(backbone), code(f"keras:{k}"), str(count))
        for (backbone, k), count in KERAS_CONVOLUTIONS.items()
    )
    return table(("backbone", "`model.freeze`", "convolutions frozen"), rows)


def cards() -> str:
    rows = []
    for name, path in shipped_cards().items():
        card = read_card(path)
        size = " × ".join(map(str, card.input_size))
        rows.append((code(name), size, card.batch_norm, card.licence, card.source))
    return table(("backbone", "input", "batch norm", "licence", "source"), rows)


def tissues() -> str:
    rows = []
    for name in KINDS:
        one = KINDS.get(name)
        features = ", ".join(one.features)
        rows.append((code(name), one.title, ", ".join(one.classes), features))
    return table(("tissue", "what it imitates", "classes", "features that tell them"), rows)


def recipes() -> str:
    rows = (
        (code(name), str(load_toml(path).get("about", "")))
        for name, path in shipped_recipes().items()
    )
    return table(("recipe", "what it is"), rows)


def papers() -> str:
    """Return what each paper says, the settings of its recipes, and where they depart."""
    return "\n\n".join(_paper(load_paper(name), load_published(name)) for name in paper_names())


def _paper(paper: Paper, printed: Published) -> str:
    shared = [("all", paper.recipe), ("published", paper.published), ("honest", paper.honest)]
    told = [(where, _settings(tables)) for where, tables in shared]
    told += [(m.name, _settings(m.settings)) for m in paper.model if m.settings]
    told += [(r.name, _settings(r.settings)) for r in paper.regime if r.settings]
    beside = [(code(e.name), f"{e.title}. {_settings(e.settings)}") for e in paper.extra]
    beside += [(code(f"fusion-{f.name}"), f"{f.title}.") for f in paper.fusion]
    numbers = [
        (row.model, row.regime, f"{row.accuracy:g}", "yes" if row.per_class else "no")
        for row in printed.row
    ]
    models = ", ".join(m.name + (" (surveyed)" if m.surveyed else "") for m in paper.model)
    asked = {True: " Runs when asked for.", False: ""}
    regimes = [f"- {code(r.name)}: {r.title}.{asked[r.optional]}" for r in paper.regime]
    from_ = f" ({paper.authors})" if paper.authors else ""
    parts = [
        f"## `{paper.name}`",
        f"{paper.title}{from_}. {paper.task} {paper.data}",
        f"Networks: {models}.",
        "\n".join(regimes),
        "What was measured, and how:",
        "\n".join(f"- {text}" for text in paper.published_protocol),
        table(("model", "regime", "printed accuracy", "per class"), numbers),
        "Where the recipes depart, or the paper is silent:",
        "\n".join(f"- {text}" for text in paper.departures),
        table(("recipes", "settings"), told),
        table(("beside", "what it is"), beside) if beside else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _settings(tables: dict[str, Any]) -> str:
    """Return the settings of some tables of a recipe as `table.key = value`."""
    return ", ".join(
        code(f"{name}.{key} = {_inline(value)}")
        for name, table_ in tables.items()
        for key, value in table_.items()
    )


def _inline(value: Any) -> str:
    """Return a value of a recipe as TOML writes it in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def bethesda() -> str:
    rows = zip(NAMES, COSTS, strict=True)
    return table(
        ("true \\ called", *NAMES), ((name, *(f"{c:g}" for c in row)) for name, row in rows)
    )


def named(registry: Any, what: str) -> str:
    """Return a table of a registry whose things have docstrings."""
    rows = ((code(name), summary(registry.get(name))) for name in registry)
    return table((what, "what it does"), rows)


def harmonised() -> str:
    known = harmonisations()
    rows = []
    for name in known:
        one = known.get(name)
        labels = {c: [label for label, m in one.meaning.items() if m == c] for c in one.classes}
        meant = "; ".join(f"**{c}**: {', '.join(found)}" for c, found in labels.items())
        rows.append((code(name), one.about, meant))
    return table(("harmonisation", "what it is", "**class**: labels"), rows).replace(r"\*\*", "**")


def classifiers() -> str:
    rows = (
        (
            code(name),
            CLASSIFIERS.get(name).title,
            ", ".join(code(key) for key in CLASSIFIERS.get(name).settings),
        )
        for name in CLASSIFIERS
    )
    return table(("classifier", "what it is", "settings"), rows)


def feature_sets() -> str:
    rows = []
    for name in FEATURE_SETS:
        known = FEATURE_SETS.get(name)
        count = sum(len(FEATURES.get(group).names) for group in known.groups)
        rows.append((code(name), known.title, str(count or "")))
    return table(("features", "what they are", "numbers"), rows)


def explanations() -> str:
    rows = []
    for name in METHODS:
        known = METHODS.get(name)
        signed = "for and against" if known.signed else "for"
        rows.append((f"[`{name}`](#{name})", known.title, signed, known.source))
    parts = [table(("method", "title", "what its map says of the target", "source"), rows)]
    for name in METHODS:
        parts += [f"### `{name}`", summary(METHODS.get(name)), fields(METHODS.get(name))]
    return "\n\n".join(parts)


def limits() -> str:
    rows = [
        ("file endings looked for in folders", ", ".join(code(s) for s in sorted(IMAGE_SUFFIXES))),
        ("smallest side", f"{MIN_SIDE} pixels"),
        ("most pixels", f"{MAX_PIXELS:,}"),
    ]
    return table(("limit", "value"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "rights": rights,
    "operations": operations,
    "recipe": recipe,
    "recipes": recipes,
    "papers": papers,
    "cli": commands,
    "datasets": catalog,
    "metrics": metrics,
    "per-class": lambda: ", ".join(code(name) for name in PER_CLASS) + ".",
    "heads": lambda: named(HEADS, "head"),
    "cost-matrices": lambda: named(COST_MATRICES, "matrix"),
    "bethesda": bethesda,
    "contrastive-losses": lambda: named(PAIR_LOSSES, "loss"),
    "engines": lambda: named(ENGINES, "engine"),
    "fusions": lambda: named(FUSIONS, "fusion"),
    "explanations": explanations,
    "harmonisations": harmonised,
    "test-views": lambda: ", ".join(code(name) for name in TEST_VIEWS) + ".",
    "steps": steps,
    "backbones": backbones,
    "keras": keras,
    "cards": cards,
    "card": lambda: fields(Card),
    "classifiers": classifiers,
    "feature-sets": feature_sets,
    "tissues": tissues,
    "phantom": lambda: fields(PhantomConfig),
    "limits": limits,
}


def main() -> int:
    """Write or check all pages; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    return write_pages(TABLES, check=parser.parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
