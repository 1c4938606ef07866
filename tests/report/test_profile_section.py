"""What the report says of where the time went."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fake_run import write_json
from page_check import Page, check_accessible, check_self_contained

from cytolens.core.errors import InputError
from cytolens.report.run_folder import read_run
from cytolens.report.run_report import write_run_report
from cytolens.report.text import THIN
from cytolens.report.views.profile import profile

MEASURED: dict[str, Any] = {
    "seconds": 80.0,
    "stages": [
        {"name": "check", "seconds": 2.0, "share": 0.025},
        {"name": "train", "seconds": 70.0, "share": 0.875},
        {"name": "other", "seconds": 8.0, "share": 0.1},
    ],
    "inside": [{"name": "decode", "seconds": 1.5, "busy": 2.75, "calls": 1200}],
    "elsewhere": None,
}
FAR = {"tasks": 5, "stages": [{"name": "train", "seconds": 9.0, "busy": 9.0, "calls": 5}]}


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    shutil.copy(honest / "metrics.json", tmp_path)
    write_json(tmp_path / "profile.json", MEASURED)
    return tmp_path


def test_the_section_has_a_figure_and_tables(run: Path) -> None:
    write_run_report(run)
    page = Page(run / "report.html")
    assert {"profile", "figure-profile"} <= set(page.ids())
    assert (run / "figures" / "profile.svg").exists()
    text = page.text.replace(THIN, " ")
    for said in ("Where the time went", "1 min 20 s in all", "88 %", "Decode images", "2.75 s"):
        assert said in text
    assert "On the cluster" not in text
    check_accessible(page)
    check_self_contained(page)


def test_tasks_of_a_cluster_have_a_table_of_their_own(run: Path) -> None:
    write_json(run / "profile.json", MEASURED | {"elsewhere": FAR})
    write_run_report(run)
    text = Page(run / "report.html").text
    assert "On the cluster, summed over 5 tasks" in text


def test_stages_are_told_in_words(run: Path) -> None:
    found = profile(read_run(run))
    assert found is not None
    assert [name for name, _, _ in found.stages] == [
        "Look at the images, split, audit",
        "Train",
        "All else",
    ]
    assert found.inside[0].calls == "1200" and found.elsewhere == []


def test_without_a_profile_the_report_is_silent(honest: Path) -> None:
    page = Page(honest / "report.html")
    assert "profile" not in page.ids() and "Where the time went" not in page.text


def test_a_damaged_profile_is_refused(run: Path) -> None:
    write_json(run / "profile.json", {"seconds": 1.0})
    with pytest.raises(InputError, match=r"not the profile of a run(.|\n)*missing: stages"):
        read_run(run)
