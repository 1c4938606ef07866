"""Markdown tables, of any rows or of the fields of a dataclass, and the pages that show them.

A page holds `<!-- generated: NAME -->` … `<!-- /generated -->`; what stands between is replaced by
the table NAME.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- /generated -->)", re.S)
Tables = Mapping[str, Callable[[], str]]


# ---- text -------------------------------------------------------------------------------------


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table; cells may hold `|`."""
    names = list(header)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Escape what Markdown would take for layout, outside of code."""
    parts = text.replace("|", r"\|").replace("\n", " ").split("`")
    return "`".join(p if i % 2 else p.replace("*", r"\*") for i, p in enumerate(parts))


def summary(thing: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    text = inspect.getdoc(thing)
    assert text, f"{thing} has no docstring"
    return " ".join(text.split("\n\n")[0].split())


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# ---- fields of the dataclasses ----------------------------------------------------------------


def meanings(cls: type[Any]) -> dict[str, str]:
    """Return what each field means: from the docstring's attributes, else the comment beside it."""
    found = dict(_attributes(inspect.getdoc(cls) or ""))
    source = textwrap.dedent(inspect.getsource(cls))
    lines = source.splitlines()
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            rest = lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset :]
            comment = rest.decode().strip().removeprefix("#").strip()
            if comment:
                found.setdefault(node.target.id, comment)
    return found


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"^Attributes:\n((?:[ ]+.*\n?|\n)+)", doc, re.M)
    if section is None:
        return
    entry = re.compile(r"^    ([\w, ]+): (.+(?:\n {6,}.+)*)", re.M)
    for match in entry.finditer(section[1]):
        for name in match[1].split(","):
            yield name.strip(), " ".join(match[2].split())


def kind(hint: Any) -> str:
    """Return a type in plain words; choices are listed."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return ", ".join(code(toml(value)) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(a) for a in arguments if a is not type(None))
    if origin is tuple:
        fixed = [a for a in arguments if a is not Ellipsis]
        count = f"{len(fixed)} " if Ellipsis not in arguments else ""
        return f"list of {count}{kind(fixed[0])}s"
    if origin is dict:
        return f"table of {kind(arguments[1])}s" if arguments[1] in (str, int) else "table"
    if hint is Any:
        return "anything"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}[hint]


def toml(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    if isinstance(value, dict):
        return "{}" if not value else "{…}"
    plain = list(value) if isinstance(value, tuple) else value
    text = tomli_w.dumps({"v": plain}, multiline_strings=False).partition("=")[2]
    return " ".join(text.split()).replace("[ ", "[").replace(", ]", "]")


def default(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return ""
    if field.default is not dataclasses.MISSING:
        return code(toml(field.default))
    if field.default_factory is not dataclasses.MISSING:
        return code(toml(field.default_factory()))
    return "required"


def fields(cls: type[Any]) -> str:
    """Return a table of the keys of a dataclass; nested dataclasses are left out.

    Every key must say what it means.
    """
    hints, meaning = typing.get_type_hints(cls), meanings(cls)
    own = [f for f in dataclasses.fields(cls) if not dataclasses.is_dataclass(hints[f.name])]
    silent = [f.name for f in own if f.name not in meaning]
    assert not silent, f"{cls.__name__} does not say what {', '.join(silent)} means"
    rows = [
        (code(f.name), kind(hints[f.name]), default(f), meaning[f.name].rstrip(".")) for f in own
    ]
    return table(("key", "type", "default", "meaning"), rows)


# ---- the pages --------------------------------------------------------------------------------


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def filled(text: str, where: Path, tables: Tables, used: set[str]) -> str:
    """Return a page with its generated blocks made anew."""

    def fill(match: re.Match[str]) -> str:
        name = match[2]
        assert name in tables, f"{where} asks for an unknown table {name!r}"
        used.add(name)
        return f"{match[1]}\n{tables[name]()}\n\n{match[3]}"

    return BLOCK.sub(fill, text)


def write_pages(tables: Tables, *, check: bool) -> int:
    """Write all pages, or (`check`) only say which are stale; return the exit status."""
    stale, used = [], set[str]()
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = filled(before, page, tables, used)
        if after != before:
            stale.append(page.relative_to(ROOT).as_posix())
            if not check:
                page.write_text(after, encoding="utf-8")
    unused = sorted(set(tables) - used)
    for name in unused:
        sys.stderr.write(f"no page shows the table {name!r}\n")
    for name in stale:
        sys.stderr.write(f"{name} {'is stale: run `make docs`' if check else 'written'}\n")
    return 1 if unused or (check and stale) else 0
