"""The page and the figure of a leak ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_check import Page, check_accessible, check_self_contained

from cytolens.report.ledger_page import write_ledger_page
from cytolens.report.views.ledger import ledger_view, points_text, signed_points


def score(value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


def row(name: str, **values: Any) -> dict[str, Any]:
    empty = {"accuracy": None, "auc": None, "inflation": None, "reference": None, "run": None}
    usual = {"protocol": "published", "leaks": [], "n": None, "skipped": None}
    return {"name": name, "title": name.title(), "what": "It differs.", **empty, **usual, **values}


HONEST = {"accuracy": score(0.545, 0.51, 0.58), "auc": score(0.87, 0.85, 0.89)}
GAIN = {"accuracy": score(0.035, 0.009, 0.059), "auc": score(-0.01, -0.02, 0.004)}
LEDGER: dict[str, Any] = {
    "data": "<smears>",
    "recipe": "frozen",
    "n": 917,
    "classes": ["a", "b"],
    "unit": "group",
    "units": 200,
    "notes": ["a note"],
    "cytolens": "0.1.0",
    "sentences": ["Honestly measured, accuracy is 54.5 %."],
    "rows": [
        row("grouped", protocol="honest", n=917, run="grouped", **HONEST),
        row("near", skipped="no two images look alike"),
        row(
            "image", n=917, run="image", leaks=["20 groups"], inflation=GAIN,
            accuracy=score(0.58, 0.54, 0.62), auc=score(0.86, None, None),
        ),
        row(
            "magnification", n=300, run="magnification", inflation=GAIN,
            reference={"run": "own", "protocol": "honest", **HONEST},
            accuracy=score(0.6, 0.5, 0.7), auc=score(0.9, 0.8, 0.95),
        ),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("ledger")
    found = write_ledger_page(LEDGER, folder)
    assert (folder / "figures" / "ledger.png").stat().st_size > 10_000
    return Page(found)


def test_it_is_one_accessible_file(page: Page) -> None:
    check_self_contained(page)
    check_accessible(page)


def test_it_holds_numbers_reasons_and_stamps(page: Page) -> None:
    said = ("+3.5", "0.9–5.9", "not run: no two images look alike", "20 groups", "a note")
    for text in (*said, "<smears>", "917 images, 2 classes", "(200 groups)"):
        assert text in page.text, text
    assert page.text.count("Its own reference: accuracy 0.545 0.510–0.580") == 1
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "span"]
    assert classes.count("tag") == 5, "in the caption, and at two rows in table and list"


def test_the_figure_names_every_row(tmp_path: Path) -> None:
    write_ledger_page(LEDGER, tmp_path)
    svg = (tmp_path / "figures" / "ledger.svg").read_text(encoding="utf-8")
    for text in ("Grouped", "Image", "Magnification", "LEAKS", "+3.5 (0.9–5.9) points", "0.580"):
        assert text in svg, text
    assert "Near" not in svg, "rows without numbers are not drawn"


def test_the_view() -> None:
    view = ledger_view(LEDGER)
    assert [one.added for one in view.rows] == ["", "", "yes", "yes"]
    assert [one.stamped for one in view.rows] == [False, False, True, True]
    assert view.rows[2].cells == [
        ("0.580", "0.540–0.620"),
        ("0.860", ""),
        ("+3.5", "0.9–5.9"),
        ("−1.0", "−2.0 to 0.4"),
    ]
    assert "Image 0.580 (+3.5 (0.9–5.9) points)" in view.alt


def test_points() -> None:
    assert points_text(score(0.1, None, None)) == "10.0"
    assert signed_points(None) == "–"
    assert signed_points(score(0.0001, -0.01, 0.01)) == "0.0 (−1.0 to 1.0)"
