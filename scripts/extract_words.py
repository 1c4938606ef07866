"""Renew the clinic's Spanish words: every text of its pages, with the translations it had.

    python scripts/extract_words.py          writes src/cytolens/clinic/web/words/es.po
    python scripts/extract_words.py --check  only says what is new, gone or not translated

Texts come from the templates and the exports (`_("…")`), from the vocabulary and the rights, and
from what services refuse: an f-string is kept with its places numbered, "The code {0} is …".
Why a bundle refers an image is translated with the documents (documents/words/es.toml).
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import read_po, write_po

from cytolens.clinic.inference.explanations import OFFERED
from cytolens.clinic.rights import RIGHTS
from cytolens.clinic.vocabulary import vocabularies

ROOT = Path(__file__).parents[1] / "src" / "cytolens"
CLINIC = ROOT / "clinic"
TARGET = CLINIC / "web" / "words" / "es.po"
HEADER = r"""# Spanish of Latin America; "usted", or no person. Renewed by scripts/extract_words.py.
msgid ""
msgstr ""
"Project-Id-Version: cytolens\n"
"Language: es\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=utf-8\n"
"Content-Transfer-Encoding: 8bit\n"

"""

# Services whose answers reach a page; what the command line says stays English.
ANSWERING = (
    "accounts", "actor.py", "database.py", "desk", "inference", "intake", "management",
    "oversight", "vocabulary", "web",
)  # fmt: skip
ERRORS = frozenset(
    {
        "Conflict", "CytolensError", "InputError", "NotAllowed", "NotFound", "NotSignedIn",
        "Refused", "TooLarge", "TooMany",
    }
)  # fmt: skip
ENTERED = frozenset({"line", "text", "day", "past"})  # desk.entered: the second names the field
PROBLEMS = frozenset({"Refusal", "ImageProblem"})  # why an image could not be used
PROBLEM_FILES = (CLINIC / "intake", ROOT / "data" / "reading.py", ROOT / "bundle" / "archive.py")

Found = tuple[str, str | tuple[str, str]]  # where, and the text (or singular and plural)


def texts() -> Iterator[Found]:
    """Yield every text that has to be translated."""
    web = CLINIC / "web" / "templates"
    for name, _, text, _, _ in extract_from_dir(web, [("**.j2", "jinja2.ext:babel_extract")]):
        yield f"clinic/web/templates/{name}", text
    for path in sorted((CLINIC / "oversight").glob("*.py")):
        for _, text, _, _ in extract_from_file("python", path, {"_": None, "words": None}):
            yield _place(path), text
    for vocabulary in vocabularies().values():
        terms = (*vocabulary.categories, *vocabulary.adequacy, *vocabulary.indicators)
        for name in (vocabulary.name, *(term.name for term in terms)):
            yield "clinic/vocabulary/specimens.toml", name
    for right in RIGHTS.values():
        yield "clinic/rights.py", right.what
    for title in OFFERED.values():
        yield "clinic/inference/explanations.py", title
    yield from refusals()


def refusals() -> Iterator[Found]:
    """Yield what services answer when they refuse, and why images cannot be used."""
    for name in ANSWERING:
        for path in _sources(CLINIC / name):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for said in _said(node):
                    yield from ((_place(path), text) for text in sentences(said))
    for start in PROBLEM_FILES:
        for path in _sources(start):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _name(node.func) in PROBLEMS:
                    for said in node.args:
                        yield from ((_place(path), text) for text in sentences(said))
                elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "reason":
                    yield from ((_place(path), text) for text in sentences(node.value))


def sentences(node: ast.expr) -> Iterator[str]:
    """Yield the texts of an expression; what is filled in is a numbered place."""
    if isinstance(node, ast.IfExp):
        yield from sentences(node.body)
        yield from sentences(node.orelse)
        return
    parts = list(_parts(node))
    places = iter(range(len(parts)))
    text = "".join(f"{{{next(places)}}}" if part is None else part for part in parts)
    if any(part and any(map(str.isalpha, part)) for part in parts):
        yield text


def _parts(node: ast.expr) -> Iterator[str | None]:
    """Yield the pieces of a text; None where something is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _parts(value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _parts(node.left)
        yield from _parts(node.right)
    else:
        yield None


def _said(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a node whose text a user may read."""
    if isinstance(node, ast.FunctionDef) and node.name == "rule":  # accounts.lockout
        yield from (
            end.value for end in ast.walk(node) if isinstance(end, ast.Return) and end.value
        )
    elif isinstance(node, ast.Call):
        name = _name(node.func)
        if name in ERRORS:
            yield from node.args[:1]
            yield from (k.value for k in node.keywords if k.arg in ("what", "expected", "fix"))
        elif name in ENTERED and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            yield node.args[1]
    elif isinstance(node, ast.Assign) and _name(node.targets[0]) == "NOTES":
        yield from getattr(node.value, "values", [])  # management.bundles


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _sources(start: Path) -> list[Path]:
    return sorted(start.rglob("*.py")) if start.is_dir() else [start]


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def wanted() -> Catalog:
    """Return the catalogue of all texts, none translated."""
    catalogue = Catalog(project="cytolens", charset="utf-8")
    for where, text in texts():
        catalogue.add(text, locations=[(where, 0)])
    return catalogue


def main() -> int:
    """Renew the file; return the exit status: 1 where a text is not translated."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args()
    with TARGET.open("rb") as source:
        catalogue = read_po(source, locale="es")
    catalogue.update(wanted(), no_fuzzy_matching=True, update_creation_date=False)
    if not given.check:
        with TARGET.open("wb") as target:
            target.write(HEADER.encode())
            write_po(
                target, catalogue, width=100, omit_header=True, sort_by_file=True,
                ignore_obsolete=True, include_lineno=False,
            )  # fmt: skip
    missing = [message.id for message in catalogue if message.id and not all(_strings(message))]
    for gone in catalogue.obsolete:
        sys.stdout.write(f"gone: {gone!r}\n")
    for text in missing:
        sys.stdout.write(f"not translated: {text!r}\n")
    return 1 if missing else 0


def _strings(message: object) -> tuple[str, ...]:
    string = getattr(message, "string", "")
    return tuple(string) if isinstance(string, list | tuple) else (string,)


if __name__ == "__main__":
    sys.exit(main())
