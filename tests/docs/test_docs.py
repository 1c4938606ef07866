"""The pages are true: commands run, code runs, links resolve, generated tables hold."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cytolens.core.config import from_dict
from cytolens.core.errors import CytolensError
from cytolens.data.manifest import COLUMNS
from cytolens.experiments.recipe import Recipe
from cytolens.models.cards import Card

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda page: page.as_posix()
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind the language, its text."""

    language: str
    note: str
    text: str

    @property
    def why_not(self) -> str | None:
        """The reason of a `no-run:` note, or None."""
        return self.note.removeprefix("no-run:").strip() if self.note.startswith("no-run") else None

    @property
    def status(self) -> int:
        """The exit status of the note `exits: N`, else 0."""
        found = re.fullmatch(r"exits: (\d+)", self.note)
        return int(found[1]) if found else 0

    @property
    def commands(self) -> list[list[str]]:
        """The words of each line that starts with a prompt."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    return [
        Block(language, note.strip(), text)
        for language, note, text in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


def of_language(*languages: str) -> Iterator[tuple[str, Block]]:
    for name, page in zip(NAMES, PAGES, strict=True):
        for block in blocks(page):
            if block.language in languages:
                yield name, block


RUNNABLE = sorted(
    {name for name, block in of_language("console", "bash", "python") if block.why_not is None}
)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all pages: what one of them computed, the next one finds."""
    return tmp_path_factory.mktemp("docs-cache")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On busy cores, two threads wait for each other in every step of so small a network."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", RUNNABLE)
def test_what_a_page_shows_runs(
    name: str,
    shared_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if "$ cytolens export" in (ROOT / name).read_text(encoding="utf-8"):
        request.getfixturevalue("exports")
    monkeypatch.setenv("CYTOLENS_CACHE", str(shared_cache))
    monkeypatch.chdir(tmp_path)
    for block in blocks(ROOT / name):
        if block.why_not is not None:
            continue
        if target := re.search(r"\bfile=(\S+)", block.note):
            Path(target[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, name, "exec"), {})
        elif block.language in ("console", "bash"):
            for words in block.commands:
                run(words, block.status, monkeypatch)


def run(words: list[str], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one command line in this process; `>` writes its output to a file."""
    from cytolens.cli.main import app

    if words[0] == "export":
        monkeypatch.setenv(*words[1].split("=", 1))
        return
    assert words[0] == "cytolens", f"{shlex.join(words)}: say no-run, and why"
    words, target = (words[:-2], words[-1]) if ">" in words else (words, None)
    monkeypatch.setattr(sys, "argv", words)
    result = CliRunner().invoke(app, words[1:])
    status = result.exit_code
    if isinstance(result.exception, CytolensError):
        status = result.exception.exit_code
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    said = f"{result.output}\n{result.exception or ''}"
    assert status == expected, f"{shlex.join(words)} ended with {status}:\n{said}"
    if target is not None:
        assert result.stdout.strip(), f"{shlex.join(words)} printed nothing"
        Path(target).write_text(result.stdout, encoding="utf-8")


def test_what_is_not_run_says_why() -> None:
    silent = [
        f"{name}: {block.text.splitlines()[0]}"
        for name, block in of_language("console", "bash", "python")
        if block.why_not is not None and len(block.why_not.split()) < 3
    ]
    assert not silent


def test_notes_are_known() -> None:
    known = r"(no-run: .+|exits: \d+|recipe|recipe file=\S+|card|)"
    wrong = [
        f"{name}: ```{block.language} {block.note}"
        for name, page in zip(NAMES, PAGES, strict=True)
        for block in blocks(page)
        if not re.fullmatch(known, block.note)
    ]
    assert not wrong


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    shown = {
        word
        for _, block in of_language("console", "bash")
        for words in block.commands
        if words[0] == "make"
        for word in words[1:]
    }
    for page in PAGES:
        shown |= set(re.findall(r"`make (\w+)`", page.read_text(encoding="utf-8")))
    assert shown <= targets
    assert {"demo", "test"} <= shown


def test_commands_that_are_not_run_exist() -> None:
    """Even a command that needs somebody's images must be spelled right."""
    for name, block in of_language("console", "bash"):
        for words in block.commands:
            if block.why_not is None or Path(words[0]).name != "cytolens":
                continue
            verb = words[1:3] if words[1] in ("clinic", "data", "store") else words[1:2]
            assert f"### `cytolens {' '.join(verb)}`" in (ROOT / "docs/reference/cli.md").read_text(
                encoding="utf-8"
            ), f"{name}: {shlex.join(words)}"


def test_recipes_and_cards_in_the_pages_are_valid() -> None:
    found = {"recipe": 0, "card": 0}
    for name, block in of_language("toml", "json"):
        if block.note.startswith("recipe"):
            from_dict(Recipe, tomllib.loads(block.text), name)
            found["recipe"] += 1
        elif block.note == "card":
            from_dict(Card, json.loads(block.text), name)
            found["card"] += 1
    assert all(found.values())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    names = re.findall(r"^#+ (.+)$", text, re.M)
    plain = (re.sub(r"[^\w\- ]", "", name.lower()) for name in names)
    return {name.strip().replace(" ", "-") for name in plain}


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    page = ROOT / name
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        wrong_anchor = anchor and file.suffix == ".md" and anchor not in anchors(file)
        if not file.exists() or wrong_anchor:
            broken.append(target)
    assert not broken


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if name != "README.md" and f"({name})" not in text] == []


def test_generated_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "write_reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr


def test_every_column_is_described() -> None:
    text = (ROOT / "docs/how-to/manifest.md").read_text(encoding="utf-8")
    assert [name for name in COLUMNS if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_pages_name_no_place_of_a_machine(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.:/])/(work|home|tmp|root|Users)/", text)


def test_pictures_are_small() -> None:
    large = [p.name for p in (ROOT / "docs/images").iterdir() if p.stat().st_size > 300_000]
    assert not large
