"""The PDF: an archive's format, the same bytes again, and texts that are never markup."""

from __future__ import annotations

import ast
import dataclasses
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.clinic.report_samples import NASTY, overlay_png, png, sample

import cytolens.clinic.documents as documents
from cytolens.clinic.documents import blocks
from cytolens.clinic.documents import layout as layouts
from cytolens.clinic.documents.changes import changes
from cytolens.clinic.documents.compose import SCORES
from cytolens.clinic.documents.content import Explained, Person, ReportContent, Word
from cytolens.clinic.documents.glyphs import covered, has_glyph, lacks_glyphs, shown
from cytolens.clinic.documents.layout import layout
from cytolens.clinic.documents.pdf import pages, pdf
from cytolens.clinic.documents.pictures import decode, laid_over, small_jpeg
from cytolens.clinic.documents.translation import catalogue, day, moment, number, percent
from cytolens.clinic.vocabulary import vocabularies
from cytolens.core.errors import CytolensError


def _streams(document: bytes) -> bytes:
    """Return all streams of a PDF that are packed, one after another."""
    found = []
    for packed in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL):
        try:
            found.append(zlib.decompress(packed))
        except zlib.error:
            found.append(packed)
    return b"\n".join(found) + document


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("status", ["preliminary", "final", "amended"])
def test_it_is_an_archive_with_its_fonts(status: str, language: str) -> None:
    content, pictures = sample(status, language)
    document = pdf(content, pictures, language)
    inside = _streams(document)
    assert document.startswith(b"%PDF-1.7")
    assert b"<pdfaid:part>2</pdfaid:part>" in inside
    assert b"<pdfaid:conformance>A</pdfaid:conformance>" in inside
    assert b"<pdfuaid:part>1</pdfuaid:part>" in inside
    names = set(re.findall(rb"/FontName ?/([A-Z]{6})\+(\w+)", inside))
    fonts, embedded = {name for _, name in names}, len(re.findall(rb"/FontFile[23]? ", inside))
    assert {b"LibertinusSerif", b"DejaVuSansMono"} <= {name.split(b"-")[0] for name in fonts}
    assert embedded >= len(fonts)
    assert f"<dc:language><rdf:Bag><rdf:li>{language}".encode() in inside
    assert b"Dr. Soto" in inside
    assert b"2026-11-21T09:30:00" in inside  # the document's date is the signature's


def test_the_same_content_gives_the_same_bytes() -> None:
    content, pictures = sample()
    assert pdf(content, pictures, "en") == pdf(content, pictures, "en")
    other = dataclasses.replace(content, version=2)
    assert pdf(other, pictures, "en") != pdf(content, pictures, "en")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return _texts(list(value.values())) if isinstance(value, dict) else []


def test_what_is_not_signed_says_so_across_the_page() -> None:
    draft, pictures = sample("preliminary")
    assert layout(draft, "en")["preliminary"] == "PRELIMINARY – not signed"
    assert layout(draft, "es")["preliminary"] == "PRELIMINAR – sin firmar"
    final, _ = sample()
    assert layout(final, "en")["preliminary"] == ""
    # Grey of the watermark: many more pixels that are neither white nor dark.
    light = [
        int(((decode(page) > 200) & (decode(page) < 250)).all(axis=2).sum())
        for page in (pages(draft, pictures, "en")[0], pages(final, pictures, "en")[0])
    ]
    assert light[0] > light[1] + 5000


def test_it_says_all_that_was_signed() -> None:
    content, _ = sample("amended")
    said = "\n".join(_texts(layout(content, "en"))).replace("\u200b", "")
    for text in (
        "ONE-0001",
        "Núñez, María José",
        "3 February 1980",
        "19 November 2026",
        "Satisfactory for evaluation",
        "Partially obscuring blood",
        "Colposcopy.",
        "Signed by Dr. Soto, 21 November 2026, 09:30\xa0UTC",
        "read before the system's finding was shown",
        "HSIL: calibrated probability 87.5 %",
        "Classes at 90 %: HSIL, LSIL",
        "it may be normal or abnormal: NILM, HSIL",
        "a bundle, version 1.2.0",
        "0123456789ab",
        "0.912",
        "Interval (95 %)",
        "Scores of 600 images that it had not seen, in 120 groups (group).",
        "The category was mistyped.",
        "The doctor's category is less severe than the system's finding.",
        "is not a diagnosis",
        "b" * 64,
    ):
        assert text in said, text
    assert layout(content, "en")["sha256"] == content.sha256


def test_numbers_and_dates_are_those_of_the_language() -> None:
    assert day("2026-02-03", "es") == "3 de febrero de 2026"
    assert moment("2026-02-03T14:05:00+00:00", "es") == "3 de febrero de 2026, 14:05\xa0UTC"
    assert number(0.9123, "es") == "0,912"
    assert percent(0.875, "es").replace("\xa0", " ") == "87,5 %"
    assert (day("", "en"), moment("", "en")) == ("", "")
    with pytest.raises(ValueError, match="'fr'"):
        catalogue("fr")


def test_texts_are_never_markup() -> None:
    content, pictures = sample()
    content = dataclasses.replace(
        content,
        patient=Person(NASTY, NASTY, NASTY * 20, "", "unknown"),
        quality=dataclasses.replace(content.quality, note=NASTY),
        diagnosis=dataclasses.replace(
            content.diagnosis, comment=f"{NASTY}\n\n{NASTY * 30}", category=Word(NASTY, NASTY)
        ),
        doctor=dataclasses.replace(content.doctor, name=NASTY),
        laboratory=dataclasses.replace(content.laboratory, name=NASTY),
        reason=NASTY,
        models=(dataclasses.replace(content.models[0], name=NASTY, data=NASTY, leaks=(NASTY,)),),
        pictures=(dataclasses.replace(content.pictures[0], name=NASTY, reasons=(NASTY,)),),
    )
    document = pdf(content, pictures, "en")
    assert b"<pdfaid:part>2" in _streams(document)
    said = "\n".join(_texts(layout(content, "en"))).replace("\u200b", "")
    assert "#panic() $x$ \\ *b* _i_ @r <l> `c` = h [x] // q /* */" in said
    assert "[U+4E2D][U+6587]" in said and "[U+E000]" in said
    assert "U+number" in said


def test_names_of_bundles_and_labels_may_hold_braces() -> None:
    content, pictures = sample(language="es")
    content = dataclasses.replace(
        content, doctor=dataclasses.replace(content.doctor, name="{name} {0} {when!r}")
    )
    said = "\n".join(_texts(layout(content, "es")))
    assert "Firmado por {name} {0} {when!r}, 21 de noviembre" in said
    pdf(content, pictures, "es")


def test_what_is_empty_or_long_is_set_too() -> None:
    content, _ = sample()
    bare = dataclasses.replace(
        content,
        patient=Person("", ""),
        quality=dataclasses.replace(content.quality, adequacy=None, indicators=()),
        specimen=dataclasses.replace(content.specimen, clinical="", collected_on=""),
        diagnosis=dataclasses.replace(content.diagnosis, comment=""),
        system=dataclasses.replace(content.system, decision="", risk=None, images=0, pending=0),
        pictures=(),
        models=(),
    )
    assert len(pages(bare, {}, "en")) == 1
    long = dataclasses.replace(
        bare,
        specimen=dataclasses.replace(content.specimen, clinical="word " * 2000, accession="A" * 64),
        diagnosis=dataclasses.replace(content.diagnosis, comment="a" * 10_000),
    )
    made = pages(long, {}, "en")
    assert len(made) > 3
    for page in made:  # nothing runs over the right margin (18 mm of 210 mm)
        picture = decode(page)
        assert picture[:, int(picture.shape[1] * (1 - 17 / 210)) :].min() > 240


def test_every_covered_character_can_be_set() -> None:
    content, _ = sample(pictures=(), models=())
    every = "".join(chr(code) for code in sorted(covered()) if has_glyph(chr(code)))
    assert len(every) > 5000
    content = dataclasses.replace(
        content,
        diagnosis=dataclasses.replace(content.diagnosis, comment=every, category=Word("X", every)),
    )
    assert pdf(content, {}, "en").startswith(b"%PDF")


@pytest.mark.parametrize(
    "text, said",
    [
        ("María", "María"),
        ("e\u0301", "é"),
        ("中", "[U+4E2D]"),
        ("a\tb\nc", "a b\nc"),
        ("\x07\ufeff\ud800", "[U+0007][U+FEFF][U+D800]"),
        ("safe\u202egnp.exe", "safe[U+202E]gnp.exe"),  # would turn the text round
    ],
)
def test_what_has_no_glyph_is_named(text: str, said: str) -> None:
    assert shown(text).replace("\u200b", "") == said
    assert lacks_glyphs(text) == ("[U+" in said)


def test_long_words_may_be_broken() -> None:
    assert shown("a" * 35) == ("a" * 10 + "\u200b") * 3 + "a" * 5
    assert "\u200b" not in shown(f"{'a' * 30} word " * 50)


def test_a_missing_picture_is_an_error() -> None:
    content, pictures = sample()
    with pytest.raises(CytolensError, match="The picture [0-9a-f]{64} of the report is missing"):
        pdf(content, {}, "en")
    broken = dict.fromkeys(pictures, b"no picture")
    with pytest.raises(CytolensError, match="is no picture"):
        pdf(content, broken, "en")


def test_an_overlay_is_mixed_in_by_its_alpha() -> None:
    image = np.full((20, 40, 3), 100, np.uint8)
    explained = Explained("c" * 64, "grad_cam", "HSIL")
    over = laid_over(image, overlay_png(8, alpha=51), explained)  # 0.2 of red
    np.testing.assert_array_equal(over[:, 36:], image[:, 36:])
    expected = np.rint([100 * 0.8 + 255 * 0.2, 80, 80])
    np.testing.assert_array_equal(over[10, 2], expected)
    with pytest.raises(CytolensError, match="is no transparent picture"):
        laid_over(image, png(image), explained)


def test_pictures_are_made_small() -> None:
    small = decode(small_jpeg(np.zeros((3000, 1500, 3), np.uint8)))
    assert small.shape == (1000, 500, 3)
    assert decode(small_jpeg(np.zeros((30, 50, 3), np.uint8))).shape == (30, 50, 3)


def _said_in_sources() -> set[str]:
    """Return every text that the documents' code asks the translator for."""
    found: set[str] = set()
    folder = Path(str(documents.__file__)).parent
    for name in ("layout.py", "findings.py"):
        for node in ast.walk(ast.parse((folder / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "say":
                found |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    for table in (layouts.STATUS, layouts.VERDICTS, blocks.DECISIONS, layouts.SEXES, SCORES):
        found |= set(table.values())
    return found


def _changed_fields(content: ReportContent) -> set[str]:
    other, _ = sample()
    bare = dataclasses.replace(
        other,
        patient=Person("", "", "", "", ""),
        specimen=dataclasses.replace(
            other.specimen, kind=Word("", ""), accession="", received_at="", collected_on="",
            clinical="",
        ),
        quality=dataclasses.replace(other.quality, adequacy=None, indicators=(), note="n"),
        diagnosis=dataclasses.replace(
            other.diagnosis, category=Word("", ""), verdict="", comment=""
        ),
        system=dataclasses.replace(other.system, images=0, decision=""),
        doctor=dataclasses.replace(other.doctor, name=""),
    )  # fmt: skip
    return {one.field for one in changes(bare, content)}


def test_every_text_is_there_in_spanish() -> None:
    content, _ = sample("amended")
    needed = _said_in_sources() | {content.disclaimer} | _changed_fields(content)
    assert len(_changed_fields(content)) == 19
    for words in vocabularies().values():
        needed.add(words.name)
        needed |= {one.name for one in (*words.categories, *words.adequacy, *words.indicators)}
    assert len(needed) > 130
    assert needed - set(catalogue("es")) == set()
    for english, spanish in catalogue("es").items():
        fields = set(re.findall(r"{\w+}", english))
        assert fields == set(re.findall(r"{\w+}", spanish)), english
