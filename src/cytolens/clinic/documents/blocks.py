"""The blocks that a document is made of, as the template knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Block = dict[str, Any]
Say = Callable[..., str]  # gives a text in the document's language
DASH = "\N{EN DASH}"  # for what is empty, and between the ends of an interval
DECISIONS = {
    "clear": "clear",
    "abnormal": "abnormal",
    "refer": "to be looked at by an expert",
    "": "none",
}


def heading(text: str) -> Block:
    return {"kind": "heading", "text": text}


def text(said: str, *, strong: bool = False) -> Block:
    return {"kind": "text", "text": said, "strong": strong}


def facts(pairs: Sequence[tuple[str, str]]) -> Block:
    """Return labels with their texts, which may have several lines."""
    return {
        "kind": "facts",
        "rows": [{"label": label, "lines": (said or DASH).split("\n")} for label, said in pairs],
    }


def points(title: str, said: Sequence[str]) -> Block:
    return {"kind": "points", "title": title, "points": list(said)}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Block:
    return {"kind": "table", "head": list(head), "rows": [list(row) for row in rows]}
