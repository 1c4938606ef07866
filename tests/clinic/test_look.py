"""Templates, style and scripts: whole, without anything inline, and nothing missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cytolens.clinic import clock
from cytolens.clinic.actor import Actor
from cytolens.clinic.rights import Role
from cytolens.clinic.settings import Settings
from cytolens.clinic.web.pages import home
from cytolens.clinic.web.render import LANGUAGES, environment

WEB = Path(str(files("cytolens.clinic.web")))
TEMPLATES = sorted(
    str(path.relative_to(WEB / "templates")) for path in (WEB / "templates").rglob("*.j2")
)
STYLE = (WEB / "static" / "clinic.css").read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a page may not have inline, what it refers to, and how it is built."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.static: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.inline += [f"{tag} {name}" for name in found if name == "style" or name[:2] == "on"]
        self.inline += [f"<{tag}>"] if tag == "style" else []
        self._script = tag == "script" and "src" not in found
        for name in ("src", "href"):
            value = found.get(name) or ""
            if value.startswith("javascript:"):
                self.inline.append(value)
            if value.startswith("/static/"):
                self.static.append(value.partition("?")[0])

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append("<script>")
        self.words.append(data)


class Request:
    """As much of a request as the frame reads."""

    class url:
        path = "/cases/3"

    query_params: dict[str, str] = {}  # noqa: RUF012


def framed(body: str, actor: Actor | None = None, language: str = "en", **more: Any) -> str:
    """Return a page of the frame with something in its main part."""
    source = (
        '{% extends "base.html.j2" %}{% block title %}T{% endblock %}'
        "{% block main %}" + body + "{% endblock %}"
    )
    context = {"request": Request(), "settings": Settings(Path("."), demo=True), "csrf": "the-csrf"}
    return (
        environment(language)
        .from_string(source)
        .render({**context, "actor": actor, "language": language, **more})
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_compile(template: str, language: str) -> None:
    environment(language).get_template(template)


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_have_nothing_inline(template: str) -> None:
    text = (WEB / "templates" / template).read_text(encoding="utf-8")
    text = re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    assert not re.findall(r"""\sstyle\s*=\s*["']|<style\b|\son[a-z]+\s*=\s*["']""", text)
    assert all("src=" in tag for tag in re.findall(r"<script\b[^>]*>", text))
    for name, after in re.findall(r"/static/([\w./-]+)([^\"]*)", text):
        assert (WEB / "static" / name).is_file(), name
        if not name.endswith(".svg"):  # it is kept for a year: its address must change with it
            assert after == "?v={{ assets }}", name


def test_the_reader_of_inline_code_sees_it() -> None:
    page = Page('<p style="x" onclick="y">a</p><script>z</script><a href="javascript:z">b</a>')
    assert page.inline == ["p style", "p onclick", "<script>", "javascript:z"]


@pytest.mark.parametrize("address", ["/", "/no-such-page"])
def test_rendered_pages_have_nothing_inline(
    browser: Callable[[str | None], TestClient], address: str
) -> None:
    client = browser("doctor")
    answer = client.get(address, follow_redirects=True)
    page = Page(answer.text)
    assert page.inline == []
    assert page.static
    for reference in page.static:
        assert client.get(reference).status_code == 200, reference


def test_the_error_page_leads_on(browser: Callable[[str | None], TestClient]) -> None:
    for name, address in (("doctor", "/"), (None, "/sign-in")):
        answer = browser(name).get("/no-such-page")
        assert answer.status_code == 404
        assert "There is no such page." in answer.text
        assert f'class="button primary" href="{address}"' in answer.text


def test_what_breaks_is_told_without_details(
    browser: Callable[[str | None], TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(browser("doctor").base_url)
    client = TestClient(browser("doctor").app, base_url=base, raise_server_exceptions=False)

    def broken(*_: object) -> None:
        raise RuntimeError("the patient's name")

    monkeypatch.setattr("cytolens.clinic.web.guard.sessions.find_session", broken)
    client.cookies.set("cytolens_session", "any")
    answer = client.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "Something broke in the server" in answer.text
    assert "patient" not in answer.text
    told = client.get("/", headers={"Accept": "application/json"})
    assert told.json()["what"].startswith("Something broke")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("administrator", Role.ADMINISTRATOR),
        ("doctor", Role.DOCTOR),
        ("director", Role.DIRECTOR),
    ],
)
def test_each_role_begins_at_its_first_place(
    browser: Callable[[str | None], TestClient], name: str, role: Role
) -> None:
    answer = browser(name).get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, home.FIRST[role])
    shown = framed("", Actor(1, name, role))
    places = re.findall(r'<a href="(/[a-z-]+)"', shown.partition('class="places"')[2])
    assert places[0] == home.FIRST[role]


def test_the_frame() -> None:
    page = Page(framed("<h1>x</h1>", Actor(1, "ana", Role.DOCTOR, name="Ana & Co")))
    assert ("meta", {"name": "csrf", "content": "the-csrf"}) in page.tags
    assert ("html", {"lang": "en"}) in page.tags
    assert ("input", {"type": "hidden", "name": "csrf", "value": "the-csrf"}) in page.tags
    assert "Ana & Co" in page.words
    assert "DEMO" in page.words
    current = [found for tag, found in page.tags if tag == "a" and "aria-current" in found]
    assert [found["href"] for found in current] == ["/worklist"]
    order = [tag for tag, _ in page.tags if tag in ("script", "link")]
    assert order.index("script") < len(order) - 1  # before the style sheet: no flash


def test_who_is_not_signed_in_sees_no_places() -> None:
    page = framed("")
    assert 'class="places"' not in page
    assert "/sign-out" not in page


def test_flash_says_known_words_alone() -> None:
    class Asked(Request):
        query_params = {"done": "signed"}  # noqa: RUF012

    assert "Signed. The report is final." in framed("", request=Asked())
    Asked.query_params = {"done": "<b>free text</b>"}
    assert "free text" not in framed("", request=Asked())


def test_a_decision_has_shape_word_and_colour() -> None:
    shown = {
        word: framed("{{ ui.decision(word) }}", word=word)
        for word in ("clear", "abnormal", "refer", "waiting", "failed", None)
    }
    shapes = {
        word: re.findall(r'badge \w+"><svg.*?</svg>(\w+)', text) for word, text in shown.items()
    }
    assert shapes == {
        "clear": ["Clear"],
        "abnormal": ["Abnormal"],
        "refer": ["Refer"],
        "waiting": ["Waiting"],
        "failed": ["Failed"],
        None: ["Waiting"],
    }
    drawn = {
        word: re.findall(r"<svg.*?</svg>", text.partition('class="badge')[2])[0]
        for word, text in shown.items()
        if word
    }
    assert len(set(drawn.values())) == 5
    for word in drawn:
        assert f".badge.{word}" in STYLE


def test_fields_are_labelled_and_escaped() -> None:
    shown = framed(
        '{{ ui.field("Name", "name", value=\'"><b>\', hint="as in the passport", maxlength=80) }}'
        '{{ ui.select("Sex", "sex", [("f", "female"), ("m", "male")], value="m", error="wrong") }}'
        '{{ ui.area("Comment", "comment", value="</textarea>") }}'
        '{{ ui.field("Password", "password", type="password", value="secret") }}'
        '{{ ui.checkbox("Blind", "blind", checked=true) }}'
    )
    page = Page(shown)
    labelled = {found["for"] for tag, found in page.tags if tag == "label"}
    controls = [
        found
        for tag, found in page.tags
        if tag in ("input", "select", "textarea") and found.get("type") != "hidden"
    ]
    assert {found["id"] for found in controls} == labelled
    by_name = {found["name"]: found for found in controls}
    assert by_name["name"]["value"] == '"><b>'
    assert by_name["name"]["maxlength"] == "80"
    assert by_name["sex"]["aria-invalid"] == "true"
    assert by_name["sex"]["aria-describedby"] == "f-sex-note"
    assert "value" not in by_name["password"]
    assert "checked" in by_name["blind"]
    assert "</textarea></textarea>" not in shown
    assert re.findall(r'<option value="(\w)" selected', shown) == ["m"]


def test_pager() -> None:
    first = Page(framed('{{ ui.pager(1, 3, "/patients?q=a") }}'))
    links = [found["href"] for tag, found in first.tags if tag == "a" and "rel" in found]
    assert links == ["/patients?q=a&page=2"]
    middle = Page(framed('{{ ui.pager(2, 3, "/patients") }}'))
    links = [found["href"] for tag, found in middle.tags if tag == "a" and "rel" in found]
    assert links == ["/patients?page=1", "/patients?page=3"]
    assert 'class="pager"' not in framed('{{ ui.pager(1, 1, "/patients") }}')


def test_time_ago_follows_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: noon)
    before = noon - timedelta(hours=3)
    assert ">3 hours ago</time>" in framed("{{ moment | ago }}", moment=before)
    assert ">hace 3 horas</time>" in framed("{{ moment | ago }}", language="es", moment=before)
    assert "<time" not in framed("{{ moment | ago }}", moment=None)


def test_a_bar_is_as_long_as_its_number() -> None:
    shown = framed('{{ ui.bar(0.256, "NILM", "clear") }}')
    assert 'class="value" width="25.6%"' in shown
    assert 'aria-label="NILM: 25.6 %"' in shown


def test_the_clock_can_be_set_back_for_a_while() -> None:
    then = datetime(2026, 9, 1, tzinfo=UTC)
    with clock.at(then):
        assert clock.now() == then
    assert clock.now() > then


# -- contrast, WCAG 2.2 (1.4.3, 1.4.11): computed from the tokens ---------------------------------


def _tokens(dark: bool) -> dict[str, str]:
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE)
    return {name: second if dark else first for name, first, second in pairs}


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_formula() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_keep_the_contrast(dark: bool) -> None:
    of = _tokens(dark)
    grounds = ("ground", "surface", "raised", "hover", "waiting-tint")
    wanted = [(text, ground, 4.5) for text in ("text", "muted", "accent") for ground in grounds]
    for word in ("clear", "abnormal", "refer"):
        wanted += [(word, ground, 4.5) for ground in (f"{word}-tint", "surface", "ground")]
    wanted += [("on-accent", "accent", 4.5)]
    wanted += [(mark, on, 3.0) for mark in ("edge", "second") for on in ("ground", "surface")]
    low = [
        f"{text} on {ground}: {_contrast(of[text], of[ground]):.2f}"
        for text, ground, least in wanted
        if _contrast(of[text], of[ground]) < least
    ]
    assert low == []


@pytest.mark.parametrize(
    ("language", "day", "moment"),
    [("en", "3 Sep 2026", "3 Sep 2026, 14:05"), ("es", "3 sept 2026", "3 sept 2026, 14:05")],
)
def test_dates_cannot_be_misread(language: str, day: str, moment: str) -> None:
    then = datetime(2026, 9, 3, 14, 5, tzinfo=UTC)
    shown = framed("[{{ then.date() | day }}] [{{ then | moment }}]", language=language, then=then)
    time = f'<time datetime="2026-09-03T14:05:00Z">{moment}\N{NO-BREAK SPACE}UTC</time>'
    assert f"[{day}] [{time}]" in shown
