"""The report of a pair: the gap between both protocols, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_check import Page, check_accessible, check_self_contained

from cytolens.report.pair_report import write_pair_report
from cytolens.report.run_folder import ImageIndex, read_run
from cytolens.report.text import Score, interval_text, number
from cytolens.report.views.gap import gap

GAP: dict[str, Score] = {
    "accuracy": {"value": 0.1114, "low": 0.0703, "high": 0.1521},
    "auc": {"value": 0.031, "low": 0.012, "high": 0.052},
    "macro_f1": {"value": None, "low": None, "high": None},
}


@pytest.fixture(scope="module")
def page(honest: Path, published: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("demo")
    assert write_pair_report(honest, published, out, GAP) == out / "report.html"
    assert (out / "figures" / "gap.svg").is_file() and (out / "figures" / "gap.png").is_file()
    return Page(out / "report.html")


def test_the_pair_is_one_accessible_file(page: Page) -> None:
    check_self_contained(page)
    check_accessible(page)


def test_it_leads_with_the_gap(page: Page) -> None:
    assert "The gap is 11.1 percentage points" in page.text
    assert "7.0 to 15.2" in page.text
    assert "+0.111" in page.text and "0.070–0.152" in page.text


def test_it_holds_the_numbers_of_both_runs(page: Page, honest: Path, published: Path) -> None:
    for run in (honest, published):
        metrics = json.loads((run / "metrics.json").read_text())
        for name in ("accuracy", "auc"):
            assert number(metrics[name]["value"]) in page.text
            assert interval_text(metrics[name]) in page.text


def test_it_stamps_the_published_run_and_repeats_its_fallbacks(page: Page) -> None:
    assert "24 patients stand in both" in page.text
    assert "the small backbone stood in" in page.text


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.1, 0.05, 0.15, "it is what leakage adds"),
        (0.01, -0.05, 0.06, "too small to show"),
        (-0.1, -0.2, -0.02, "which leakage cannot explain"),
        (None, None, None, "same images"),
    ],
)
def test_the_gap_is_called_what_it_is(
    honest: Path, published: Path, value: float, low: float, high: float, said: str
) -> None:
    difference: dict[str, Score] = {"accuracy": {"value": value, "low": low, "high": high}}
    assert said in gap(read_run(honest), read_run(published), difference).meaning


def test_why_counts_copies_and_patients_on_both_sides(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text((honest / "metrics.json").read_text())
    (tmp_path / "manifest.csv").write_text(
        "image,label,group,parent\n"
        "../set/a.png,NILM,p1,\n"
        "expanded/a-1.png,NILM,p1,../set/a.png\n"
        "../set/b.png,NILM,p1,\n"
        "../set/c.png,NILM,p2,\n"
    )
    fold = {"fold": 0, "repeat": 0, "train": ["a.png"], "validation": []}
    tested = ["expanded/a-1.png", "b.png", "c.png"]
    (tmp_path / "split.json").write_text(json.dumps({"folds": [fold | {"test": tested}]}))
    why = " ".join(gap(read_run(honest), read_run(tmp_path), GAP).why)
    assert "1 of 3 test images" in why  # a-1 is a copy of a
    assert "2 of 3 test images" in why  # a-1 and b are of p1


def test_ids_are_found_however_their_paths_were_rewritten() -> None:
    rows = [{"image": "../../data/x/1.png"}, {"image": "../../data/y/1.png"}, {"image": "2.png"}]
    index = ImageIndex(Path("run"), rows)
    assert index.row("x/1.png") is rows[0]
    assert index.row("/mnt/data/y/1.png") is rows[1]
    assert index.row("1.png") is None  # two images end like that
    assert index.row("2.png") is rows[2]
    assert index.row("3.png") is None and index.file("3.png") is None
