"""What any page of ours must hold to: it loads nothing, and its parts refer to each other."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

_LOADING = ("src", "href", "xlink:href", "srcset", "poster", "data", "action")
_VOID = {"meta", "img", "br", "link", "input", "hr", "wbr"}


class Page(HTMLParser):
    """A parsed page: its tags with attributes, its text, its ids and its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif not self._open or self._open[-1] != "style":
            self.text += data

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if attributes.get("id")]

    def loaded(self) -> list[str]:
        """Everything that the page asks a browser to fetch or go to."""
        return [
            str(attributes[name]) for _, attributes in self.tags for name in _LOADING
            if attributes.get(name)
        ]  # fmt: skip


def check_self_contained(page: Page) -> None:
    assert all(target.startswith(("data:", "#")) for target in page.loaded()), page.loaded()
    assert "@import" not in page.source
    assert "http:" not in page.source and "https:" not in page.source
    assert len(page.ids()) == len(set(page.ids()))
    anchors = {target[1:] for target in page.loaded() if target.startswith("#")}
    assert anchors <= set(page.ids())
    assert len(page.scripts) == 1


def check_accessible(page: Page) -> None:
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes.get("alt"), attributes
        if tag == "svg":
            assert attributes.get("role") == "img" and attributes.get("aria-label")
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
