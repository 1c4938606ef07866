"""Spanish: every text is translated, places agree, and pages are whole in it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from babel.messages.pofile import read_po
from fastapi.testclient import TestClient
from tests.clinic.conftest import Maker, People

from cytolens.bundle.assessment import left_open
from cytolens.bundle.checks import fit_checks
from cytolens.bundle.ood import reason
from cytolens.clinic.desk import readings
from cytolens.clinic.documents.translation import translator as of_documents
from cytolens.clinic.installation import Installation
from cytolens.clinic.sentences import Sentences
from cytolens.clinic.tables import Case, User
from cytolens.clinic.web.render import environment
from cytolens.clinic.web.words import sentences, translator

sys.path.append(str(Path(__file__).parents[2] / "scripts"))  # for extract_words
import extract_words

Browser = Callable[[str | None], TestClient]
# English words that stand in no Spanish text; what people typed is kept from these pages.
ENGLISH = re.compile(
    r"\b(the|and|with|images?|cases?|findings?|readings?|sign|search|save)\b", re.I
)


def test_every_text_is_translated_and_none_is_left_over() -> None:
    with extract_words.TARGET.open("rb") as source:
        kept = read_po(source, locale="es", abort_invalid=True)
    wanted = extract_words.wanted()
    assert len(wanted) > 800
    ids = {message.id for message in wanted if message.id}
    assert ids - {message.id for message in kept if message.id} == set()
    assert {message.id for message in kept if message.id} - ids == set(), "run extract_words.py"
    assert kept.num_plurals == 2 and kept.plural_expr == "(n != 1)"
    assert not kept.obsolete
    for message in kept:
        if not message.id:
            continue
        strings = message.string if isinstance(message.string, list | tuple) else [message.string]
        assert all(text.strip() for text in strings), message.id
        assert not message.fuzzy, message.id
        originals = message.id if isinstance(message.id, list | tuple) else [message.id]
        assert len(strings) == len(originals)
        for text in strings:
            assert _places(text) == _places(originals[-1]), message.id
            assert "{" in text or not list(message.check(kept)), message.id
            assert text[:1].isspace() == originals[0][:1].isspace()
            assert (text[-1] == ".") == (originals[0][-1] == "."), message.id


def _places(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)s|%%|\{\w+\}", text))


def test_texts_that_scripts_fill_in_keep_their_places() -> None:
    spanish = translator("es")
    assert spanish.gettext("Sending: {done} of {all} files") == "Enviando: {done} de {all} archivos"
    script = (extract_words.CLINIC / "web" / "static" / "upload.js").read_text(encoding="utf-8")
    panel = '{% import "macros.html.j2" as ui with context %}{% include "desk/upload.html.j2" %}'
    page = (
        environment("es")
        .from_string(panel)
        .render(
            case={"id": 3, "pending": 1}, settings={"file_bytes": 1, "request_bytes": 2}, csrf=""
        )
    )
    for name in re.findall(r"words\.(\w+)", script):
        if name != "case":
            assert f"data-{name}=" in page, name
    assert "1 imagen espera su hallazgo." in page


def test_plurals() -> None:
    spanish = translator("es")
    for n, said in ((0, "0 imágenes"), (1, "1 imagen"), (2, "2 imágenes"), (21, "21 imágenes")):
        text = spanish.ngettext("%(num)s image", "%(num)s images", n)
        assert text % {"num": n} == said


def test_dates_and_numbers_are_written_as_in_spanish() -> None:
    render = environment("es").from_string
    at = datetime(2026, 3, 9, 14, 5, tzinfo=UTC)
    assert render("{{ at | day }}").render(at=at) == "9 mar 2026"
    assert render("{{ at | moment }}").render(at=at) == (
        '<time datetime="2026-03-09T14:05:00Z">9 mar 2026, 14:05\N{NO-BREAK SPACE}UTC</time>'
    )
    assert render("{{ 12345.5 | number }}").render() == "12.345,5"
    assert render("{{ 0.123 | percent }}").render() == "12,3 %"


def test_a_sentence_is_known_by_its_places() -> None:
    words = Sentences(
        {
            "The code {0} is another site's.": "El código {0} es de otra sede.",
            "{0} of {1} wait.": "De {1} esperan {0}.",
            "{0}.": "¡{0}!",
            "worse": "peor",
        }
    )
    assert words.told("The code LIM is another site's.") == "El código LIM es de otra sede."
    assert words.told("3 of 10 wait.") == "De 10 esperan 3."
    assert words.told("worse of {1} wait.") == "De {1} esperan peor."  # filled in once, not twice
    assert words.told("unknown") == "unknown" and words.told("") == ""
    with pytest.raises(ValueError, match="numbered from 0"):
        Sentences({"{1} {0}": ""})


def test_refusals_are_told_in_spanish() -> None:
    told = sentences("es").told
    assert told("The code LIM is another site's.") == "El código LIM es de otra sede."
    role = "The role director does not include: sign and amend reports."
    assert told(role) == "El rol director no incluye: firmar y rectificar informes."
    assert told("The family name is missing.") == "Los apellidos: falta."
    assert sentences("en").told("There is no such case.") == "There is no such case."
    assert told("100 % <b>") == "100 % <b>"
    escaped = environment("es").from_string("{{ what | told }}")
    assert escaped.render(what="The user name <b> is taken.") == (
        "El nombre de usuario &lt;b&gt; ya está en uso."
    )


def test_reasons_of_a_bundle_are_told_in_spanish() -> None:
    draw = np.random.default_rng(3)
    usual = [
        np.clip(draw.normal((200, 150, 190), 22, (64, 64, 3)), 0, 255).astype(np.uint8)
        for _ in range(30)
    ]
    checks = fit_checks(usual)
    one = usual[0].astype(float)
    odd = [
        one * 0.3, one + 90, 160 + (one - 160) * 0.3, one[:, :, ::-1], one[:12], one * 0 + 128,
        np.repeat(np.repeat(one, 4, 0), 4, 1), one.mean(axis=2, keepdims=True).repeat(3, 2),
        one + draw.normal(0, 60, one.shape), 160 + (one - 160) * 2.5,
    ]  # fmt: skip
    said = {
        sentence
        for image in odd
        for sentence in checks.problems(np.clip(image, 0, 255).astype(np.uint8))
    }
    said |= {reason(1.5), reason(101), "no class is likely enough"}
    said |= {*left_open(("a", "b"), None), *left_open(("a", "b", "c"), ["c"])}
    said.add("the probability of an abnormal finding is neither low nor high enough")
    assert len(said) > 12
    left = re.compile(r"\b(the|than|of|is|to|or|usual|training|than|image)\b")
    for told in (sentences("es").told, of_documents("es")):
        for sentence in said:
            spanish = told(sentence)
            assert not left.search(spanish.replace(" es usual", "")), (sentence, spanish)
            numbers = [one.replace(".", ",") for one in re.findall(r"\d+(?:\.\d+)?", sentence)]
            assert re.findall(r"\d+(?:,\d+)?", spanish) == numbers


def test_pages_in_spanish(
    clinic: Installation, people: People, make: Maker, browser: Browser
) -> None:
    case = make.case()
    make.image(case, make.model(), probability=0.9)
    with clinic.writing() as db:
        revision = db.get_one(Case, case).revision
        readings.enter(db, people.actors["doctor"], case, "primary", "HSIL", "", "", revision)
    addresses = {
        "doctor": ["/worklist", "/patients", "/patients/new", f"/cases/{case}", "/quality"],
        "director": ["/figures", "/drift", "/quality-control"],
        "administrator": [
            "/users", "/users/new", f"/users/{people.users['doctor']}", "/sites", "/bundles",
            "/retention", "/audit", "/system",
        ],
    }  # fmt: skip
    with clinic.writing() as db:
        for name in addresses:
            db.get_one(User, people.users[name]).language = "es"
    for name, pages in addresses.items():
        client = browser(name)
        for address in [*pages, "/account"]:
            answer = client.get(address)
            assert answer.status_code == 200, address
            assert '<html lang="es">' in answer.text
            assert _english(answer.text) == [], address
    doctor = browser("doctor")
    page = doctor.get(f"/cases/{case}").text
    assert "Lesión escamosa intraepitelial de alto grado" in page
    assert "90,0 %" in page and "Usted firma:" in page
    lost = doctor.get("/cases/999")
    assert lost.status_code == 404 and "No existe tal caso." in lost.text
    forbidden = doctor.get("/audit")
    assert "El rol doctor no incluye: buscar, verificar y exportar" in forbidden.text
    asked = doctor.get("/cases/999", headers={"Accept": "application/json"})
    assert asked.json()["what"] == "No existe tal caso."
    assert doctor.get("/api/v1/cases/999").json()["what"] == "There is no such case."


def _english(page: str) -> list[str]:
    """Return the English that a page shows; what is marked as English may be."""
    main = page[page.index("<body") :]
    main = re.sub(r'<(article|span|td|code|p)[^>]* lang="en".*?</\1>', " ", main, flags=re.S)
    main = re.sub(r"<(code|datalist|script)\b.*?</\1>", " ", main, flags=re.S)
    shown = re.findall(r'(?:aria-label|title|placeholder|alt|data-\w+)="([^"]*)"', main)
    shown += re.sub(r"<[^>]+>", "\n", main).split("\n")
    texts = [re.sub(r"\{\w+\}|\b[a-z]+\.[a-z]+\b", "", text) for text in shown]  # codes of actions
    return [text.strip() for text in texts if ENGLISH.search(text)]


def test_the_browsers_language_counts_before_anybody_signed_in(browser: Browser) -> None:
    answer = browser(None).get("/sign-in", headers={"Accept-Language": "es-PE,es;q=0.9"})
    assert '<html lang="es">' in answer.text and "Iniciar sesión" in answer.text
    answer = browser(None).get("/sign-in", headers={"Accept-Language": "de"})
    assert '<html lang="en">' in answer.text
