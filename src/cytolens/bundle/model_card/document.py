"""A model card as plain data: sections of paragraphs, lists, tables and code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text; `strong` is set in bold."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        head: titles of the columns.
        rows: each as long as `head`.
        words: number of the first columns that hold words; the others are numbers.
        caption: one sentence, or "".
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    caption: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.head) for row in self.rows)


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    language: str
    text: str


Block = Text | Points | Table | Code


@dataclass(frozen=True)
class Section:
    """A part of the card; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ModelCard:
    """What a bundle is, what it is for, how good it is and where it fails.

    Attributes:
        title: one line.
        lead: what the model is, in two sentences.
        stamp: why no number of the card may be taken at its face value, or "".
        sections: in the order of reading.
    """

    title: str
    lead: str
    stamp: str
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section:
        """Return a section by its name."""
        return next(section for section in self.sections if section.name == name)

    def to_markdown(self) -> str:
        """Return it as Markdown; texts of the bundle are escaped."""
        from cytolens.bundle.model_card.markdown import markdown

        return markdown(self)

    def to_html(self) -> str:
        """Return it as one HTML page that loads nothing and runs no script."""
        from cytolens.bundle.model_card.page import page

        return page(self)


def facts(*pairs: tuple[str, str]) -> Table:
    """Return a table of names and what they are."""
    return Table(("What", "Which"), pairs, words=2)
