"""What the report says of doubt: corrections, sets, what is left to the machine, decisions."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_doubt import fake_doubt, left, score
from fake_run import write_json
from page_check import Page, check_accessible, check_self_contained

from cytolens.core.errors import InputError
from cytolens.report.run_folder import read_run
from cytolens.report.run_report import write_run_report
from cytolens.report.text import THIN
from cytolens.report.views.doubt import Doubt, doubt

FIGURES = ("reliability_corrected", "risk_coverage", "decision_curve")
View = Callable[..., Doubt]


def plain(text: str) -> str:
    return text.replace(THIN, " ")


def said(sentences: list[str]) -> str:
    return plain(" ".join(sentences))


@pytest.fixture(scope="module")
def run(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of metrics and doubt alone, reported once; not to be changed."""
    path = tmp_path_factory.mktemp("doubted") / "run"
    path.mkdir()
    shutil.copy(honest / "metrics.json", path)
    write_json(path / "doubt.json", fake_doubt())
    write_run_report(path)
    return path


@pytest.fixture
def view(run: Path) -> View:
    """Return a maker of the section's content, from `fake_doubt` with changes."""

    def view(**changes: Any) -> Doubt:
        found = doubt(replace(read_run(run), doubt=fake_doubt(**changes)))
        assert found is not None
        return found

    return view


def test_without_doubt_the_report_is_silent(honest: Path) -> None:
    page = Page(honest / "report.html")
    assert "doubt" not in page.ids() and "How far to believe it" not in page.text
    assert not (honest / "figures" / "risk_coverage.svg").exists()
    assert doubt(read_run(honest)) is None


def test_the_section_and_its_figures_stand_in_an_accessible_page(run: Path) -> None:
    page = Page(run / "report.html")
    check_self_contained(page)
    check_accessible(page)
    assert "doubt" in page.ids() and "LEAKS" not in page.source
    for name in FIGURES:
        assert f"figure-{name}" in page.ids()
        assert "<text" in (run / "figures" / f"{name}.svg").read_text()
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_number_comes_with_its_interval(run: Path) -> None:
    text = plain(Page(run / "report.html").text)
    for number, interval in (
        ("0.083", "0.053–0.113"),  # calibration error before, after
        ("0.021", "0.011–0.031"),
        ("71.0 %", "66.0–76.0 %"),  # SCC in its set
        ("62.0 %", "59.0–65.0 %"),  # left to the machine
        ("97.0 %", "94.0–100.0 %"),  # clear, and rightly so
        ("68.0 %", "65.0–71.0 %"),  # positive predictive value
    ):
        assert number in text and interval in text


def test_a_run_that_leaks_stamps_doubt_too(published: Path, tmp_path: Path) -> None:
    shutil.copy(published / "metrics.json", tmp_path)
    write_json(tmp_path / "doubt.json", fake_doubt())
    section = write_run_report(tmp_path).read_text().split('<section id="doubt">')[1]
    section = section.split("</section>")[0]
    assert section.count('class="tag"') == 1 + 6 + len(FIGURES)  # note, tables, captions
    assert "LEAKS" in (tmp_path / "figures" / "decision_curve.svg").read_text()


def test_the_correction_is_told_with_its_worth(view: View) -> None:
    found = view()
    text = said(found.calibration)
    assert "Temperature scaling (one number, which makes all answers surer or less sure)" in text
    assert "Its temperature is 1.63: the model was too sure." in text
    assert "2.1 % (1.1–3.1 %) apart after the correction, and 8.3 % (5.3–11.3 %) before" in text
    assert "does not help" not in text
    assert [row.title for row in found.candidates if row.chosen] == ["Temperature"]
    assert "fitted to 120 test images" in found.basis and "over 3 folds" in found.basis
    assert "shares a group" in found.basis and "bundle" not in found.basis


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.8, "the model was not sure enough"), (1.0, "Its temperature is 1: it changes nothing.")],
)
def test_which_way_a_temperature_corrects(view: View, temperature: float, expected: str) -> None:
    part = fake_doubt()["calibration"] | {"parameters": {"temperature": temperature}}
    assert expected in said(view(calibration=part).calibration)


def test_a_correction_that_makes_the_gap_larger_is_not_praised(view: View) -> None:
    part = fake_doubt()["calibration"]
    part["after"]["ece"] = score(0.1)
    assert "By this measure the correction does not help." in said(
        view(calibration=part).calibration
    )


@pytest.mark.parametrize(
    ("candidates", "why"),
    [
        ({"none": 0.5, "temperature": 0.5}, "no correction was clearly better"),
        ({"none": 0.5}, "the recipe asks for no correction"),
    ],
)
def test_no_correction_says_why_and_draws_none(
    view: View, run: Path, tmp_path: Path, candidates: dict[str, float], why: str
) -> None:
    part = fake_doubt()["calibration"] | {
        "method": "none", "parameters": {}, "candidates": candidates
    }  # fmt: skip
    assert why in said(view(calibration=part).calibration)
    shutil.copy(run / "metrics.json", tmp_path)
    write_json(tmp_path / "doubt.json", fake_doubt(calibration=part))
    page = Page(write_run_report(tmp_path))
    assert "figure-reliability_corrected" not in page.ids()
    assert "Before and after the correction" not in page.text


def test_sets_tell_their_coverage_and_the_classes_that_fall_short(view: View) -> None:
    text = said(view().sets)
    assert "so that 90 % of them hold the true class; 89.2 % (86.2–92.2 %) did." in text
    assert "A set names 1.40 (1.30–1.50) of 4 classes on average." in text
    assert "66.0 % (63.0–69.0 %) of the sets name a single class, and of these 94.0 %" in text
    assert "the share holds over all images, not for each class: SCC (71 %)" in text
    assert "asked" not in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.8, "less than was asked: do not rely on it"), (0.97, "more than was asked")],
)
def test_sets_that_miss_their_level_say_so(view: View, value: float, expected: str) -> None:
    part = fake_doubt()["conformal"]
    part["results"]["coverage"] = score(value)
    assert expected in said(view(conformal=part).sets)


def test_classes_that_cannot_be_ruled_out_for_want_of_images(view: View) -> None:
    part = fake_doubt()["conformal"] | {
        "class_conditional": True,
        "parameters": {"quantiles": [0.8, None, 0.7, 0.9]},
    }
    text = said(view(conformal=part).sets)
    assert "the images are too few to rule it out: LSIL." in text
    assert "class by class" in text and "Some classes fall short of it: SCC (71 %)" in text


def test_what_could_be_left_to_the_machine(view: View) -> None:
    found = view()
    text = said(found.left)
    assert "14.2 % (11.2–17.2 %) of its answers are wrong" in text
    assert (
        "If at most 5 % of its answers may be wrong, 62.0 % (59.0–65.0 %) of the images could be "
        "left to it; 3.9 % (2.9–4.9 %) of these were wrong." in text
    )
    assert "More were wrong than was asked where it was at most 10 %" in text
    assert "Nothing could be left to it where at most 1 % or at most 2 % may be wrong." in text
    assert "at least 99 answers without an error are needed" in text
    assert plain(found.left_rows[0].confidence) == "none is enough"
    assert [plain(row.share[0]) for row in found.left_rows] == [
        "0.0 %",
        "0.0 %",
        "62.0 %",
        "81.0 %",
    ]


def test_where_nothing_can_be_left_nothing_is_promised(view: View) -> None:
    part = fake_doubt()["risk"] | {"left": [left(0.05, 0.0, None)]}
    text = said(view(risk=part).left)
    assert "could be left to it;" not in text
    assert "at least 19 answers without an error are needed" in text


def test_three_answers_and_two(view: View) -> None:
    found = view().decisions
    text = said(found.sentences)
    assert not found.why
    assert "Abnormal are HSIL and SCC: 48 of 120 test images." in text
    assert "at most 5 % of the abnormal images clear" in text
    assert "Of the abnormal images 4.0 % (1.0–7.0 %) were called clear" in text
    assert "than was asked" not in text
    rows = [(row.name, plain(row.when), plain(row.share[0])) for row in found.answers]
    assert rows == [
        ("Clear", "below 12.5 %", "50.0 %"),
        ("For an expert", "from 12.5 % to 62.5 %", "20.0 %"),
        ("Abnormal", "from 62.5 % on", "30.0 %"),
    ]
    assert [plain(rate.value) for rate in found.rates] == ["96.0 %", "71.0 %", "68.0 %", "96.5 %"]


def test_more_misses_than_were_asked_are_told(view: View) -> None:
    part = fake_doubt()["decision"] | {"refer": [0.0004, 0.0004]}
    part["results"]["triage"]["missed"] = score(0.2)
    found = view(decision=part).decisions
    assert "These are more misses than was asked." in said(found.sentences)
    assert "nothing is referred" in said(found.sentences)
    assert [plain(row.when) for row in found.answers] == [
        "below 0.040 %",
        "never",
        "from 0.040 % on",
    ]


def test_the_decision_curve_in_words(view: View) -> None:
    text = said(view().decisions.curve)
    assert "act from a probability of 20 % to 60 % on, deciding by the model is better" in text
    assert "not at every point" not in text
    assert "largest at 40 %: 20 more abnormal images found for every 100 images" in text
    rows = fake_doubt()["decision_curve"]
    rows[2]["gain"] = score(0.0)
    assert "(not at every point between)" in said(view(decision_curve=rows).decisions.curve)
    for row in rows:
        row["gain"] = score(0.0)
    assert "At no probability" in said(view(decision_curve=rows).decisions.curve)


def test_without_abnormal_classes_the_section_says_why(
    view: View, run: Path, tmp_path: Path
) -> None:
    none = {"decision": None, "decision_curve": None}
    assert "the recipe names no abnormal classes" in view(**none).decisions.why
    told = view(**none, notes=["Nothing was decided. There is no normal image."]).decisions.why
    assert told == "Nothing was decided. There is no normal image."
    shutil.copy(run / "metrics.json", tmp_path)
    write_json(tmp_path / "doubt.json", fake_doubt(**none))
    page = Page(write_run_report(tmp_path))
    assert "figure-decision_curve" not in page.ids()
    assert "names no abnormal classes" in page.text


@pytest.mark.parametrize("content", [[], {"calibration": None}])
def test_a_damaged_file_is_refused(run: Path, tmp_path: Path, content: Any) -> None:
    shutil.copy(run / "metrics.json", tmp_path)
    write_json(tmp_path / "doubt.json", content)
    with pytest.raises(
        InputError, match=r"is not what a run says of its doubt[\s\S]*missing: risk"
    ):
        read_run(tmp_path)
