"""The audit as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

_WIDTH = 96
_BAR = 24
_SHOWN = 3


def render_text(audit: Mapping[str, Any]) -> str:
    """Return the audit as a page of text: what there is, then what to know, then examples."""
    blocks = [_head(audit), _classes(audit), _warnings(audit), _examples(audit)]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _head(audit: Mapping[str, Any]) -> list[str]:
    groups, sizes = audit["groups"], audit["sizes"]
    unit = (
        f"{groups['count']:,} groups, the largest of {groups['largest']:,}"
        if groups["present"]
        else "no group key"
    )
    low, high, best = sizes["min"], sizes["max"], sizes["recommended"]
    span = f"{low[0]} x {low[1]}" if low == high else f"{low[0]} x {low[1]} … {high[0]} x {high[1]}"
    return [
        f"{audit['name']}: {audit['images']:,} images, {len(audit['classes'])} classes, {unit}",
        *_wrap(
            f"sizes {span} pixels; recommended input {best['width']} x {best['height']}: "
            f"{best['why']}.",
            "",
        ),
    ]


def _classes(audit: Mapping[str, Any]) -> list[str]:
    classes = audit["classes"]
    width, largest = max(map(len, classes), default=0), max(classes.values(), default=1) or 1
    return [
        f"  {name:<{width}} {n:>7,}  {'█' * max(bool(n), round(_BAR * n / largest))}"
        for name, n in classes.items()
    ]


def _warnings(audit: Mapping[str, Any]) -> list[str]:
    if not audit["warnings"]:
        return ["Nothing to warn of."]
    return ["Know this:"] + [
        line
        for number, sentence in enumerate(audit["warnings"], start=1)
        for line in _wrap(sentence, f"{number:>3}. ")
    ]


def _examples(audit: Mapping[str, Any]) -> list[str]:
    duplicates = audit["duplicates"]
    lists = {
        "Problems": [f"{name}: {reason}" for name, reason in audit["problems"].items()],
        "Across labels": [" = ".join(pair) for pair in duplicates["across_labels"]],
        "Exact duplicates": [" = ".join(pair) for pair in duplicates["exact"]],
        "Near duplicates": [f"{a} ~ {b} ({score:.3f})" for a, b, score in duplicates["near"]],
        "Siblings": [f"{e['how']}: {', '.join(e['rows'][:4])}" for e in audit["siblings"]],
    }
    lines: list[str] = []
    for name, entries in lists.items():
        if entries:
            lines.append(f"{name} ({len(entries):,}):")
            lines += [f"  {entry}" for entry in entries[:_SHOWN]]
            lines += ["  …"] if len(entries) > _SHOWN else []
    return lines


def _wrap(sentence: str, first: str) -> list[str]:
    return textwrap.wrap(sentence, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
