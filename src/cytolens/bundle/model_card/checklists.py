"""Reporting checklists, filled from what a bundle knows, with the gaps left visible.

TRIPOD+AI (Collins et al., BMJ 2024;385:e078378) and CLAIM, 2024 update (Tejani et al., Radiology:
Artificial Intelligence 2024;6(4):e240300). The numbers of the items are theirs, the words are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cytolens.bundle.model_card.document import Block, Section, Table, Text
from cytolens.bundle.model_card.words import AUTHORS, at, listed
from cytolens.core.config import from_dict, load_toml

NAMES = ("tripod_ai", "claim")
State = Literal["answered", "in part", "open"]
_FOLDER = Path(__file__).parent / "checklists"


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Attributes:
        id: its number.
        asks: what it asks for, in a few words.
        keys: dotted keys of `bundle.json` that answer it, all of them; none: the authors alone can.
        section: of the card, where the answer stands.
        author: what is left to the authors where the keys are there; "": nothing is.
    """

    id: str
    asks: str
    keys: tuple[str, ...] = ()
    section: str = ""
    author: str = ""

    def state(self, content: Mapping[str, Any]) -> State:
        """Return whether a bundle answers it."""
        if not self.keys or self.lacking(content):
            return "open"
        return "in part" if self.author else "answered"

    def lacking(self, content: Mapping[str, Any]) -> list[str]:
        """Return the keys that a bundle does not have."""
        return [key for key in self.keys if at(content, key) in (None, "", {})]


@dataclass(frozen=True)
class Checklist:
    """A checklist as it ships with the package."""

    title: str
    source: str
    items: tuple[Item, ...]


def load_checklist(name: str) -> Checklist:
    """Return the checklist of that name, one of `NAMES`."""
    return from_dict(Checklist, load_toml(_FOLDER / f"{name}.toml"), name)


def checklists(content: Mapping[str, Any], sections: Sequence[Section]) -> Section:
    """Return the section of all checklists.

    Args:
        sections: of the card, which hold the answers.
    """
    titles = {section.name: section.title for section in sections}
    blocks: list[Block] = [
        Text(
            "What the bundle answers, and where in this card; the rest is left to the authors of a "
            "publication. Fill in a copy of the card: the one in the bundle is vouched for."
        )
    ]
    for name in NAMES:
        checklist = load_checklist(name)
        states = [item.state(content) for item in checklist.items]
        whole, part = states.count("answered"), states.count("in part")
        blocks.append(
            Text(
                f"{checklist.title}: {whole} of {len(states)} items answered, {part} more in part. "
                f"{checklist.source}"
            )
        )
        rows = tuple(
            (item.id, item.asks[:1].upper() + item.asks[1:], _answer(item, content, titles))
            for item in checklist.items
        )
        blocks.append(Table(("Item", "Asks for", "Answer"), rows, words=3))
    return Section("checklists", "Reporting checklists", tuple(blocks))


def _answer(item: Item, content: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    state = item.state(content)
    if state == "open":
        lacking = item.lacking(content)
        missing = f"The bundle lacks {listed(lacking)}. " if lacking else ""
        return f"{missing}To be filled by the authors."
    where = f'See "{titles[item.section]}".'
    return where if state == "answered" else f"{where} {AUTHORS}{item.author}."
