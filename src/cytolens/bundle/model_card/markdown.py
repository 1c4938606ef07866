"""A model card as Markdown (CommonMark with tables)."""

from __future__ import annotations

import html
import re

from cytolens.bundle.model_card.document import Block, Code, ModelCard, Points, Section, Table, Text

_SIGNS = re.compile(r"([\\`*\[\]|#~]|(?<!\w)_|_(?!\w))")


def escaped(text: str) -> str:
    """Return text that means the same in Markdown: no tags, emphasis, links, cells or lines."""
    return _SIGNS.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def markdown(card: ModelCard) -> str:
    """Return the whole card, ending with a line feed."""
    parts = [f"# {escaped(card.title)}"]
    parts += [f"**{escaped(card.stamp)}**"] if card.stamp else []
    parts += [escaped(card.lead)]
    for section in card.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    return [f"## {escaped(section.title)}", *(_block(block) for block in section.blocks)]


def _block(block: Block) -> str:
    match block:
        case Text(text, strong):
            return f"**{escaped(text)}**" if strong else escaped(text)
        case Points(items):
            return "\n".join(f"- {escaped(item)}" for item in items)
        case Code(language, text):
            return f"```{language}\n{text}\n```"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    lines = [f"{escaped(table.caption)}\n"] if table.caption else []
    lines.append(_row(table.head))
    ends = ["---" if column < table.words else "---:" for column in range(len(table.head))]
    lines.append(f"| {' | '.join(ends)} |")
    lines += [_row(row) for row in table.rows]
    return "\n".join(lines)


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"
