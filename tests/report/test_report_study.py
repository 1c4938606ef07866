"""The report of a study: the claim, ours beside it, and what leaking adds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_run import edit_json
from fake_study import (
    CAUTION,
    LEAK,
    SUBSTITUTIONS,
    WHY_NOT,
    FakeStudy,
    copy_study,
    write_fake_study,
)
from page_check import Page, check_accessible

from cytolens.core.errors import InputError
from cytolens.report.figures.small_curves import together
from cytolens.report.study import write_study_report
from cytolens.report.study.lines import lines, shown_first
from cytolens.report.study.study import read_study
from cytolens.report.study.words import as_printed, percent_span, points, points_span, share
from cytolens.report.text import percent

NARROW = "\N{NARROW NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_fake_study(tmp_path_factory.mktemp("studies") / "small", FakeStudy(reports=True))
    write_study_report(path)
    return path


@pytest.fixture(scope="module")
def page(study: Path) -> Page:
    return Page(study / "report.html")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models under three regimes, one of them contrastive."""
    regimes = ("finetune", "cost_sensitive", "contrastive")
    fake = FakeStudy(regimes=regimes, not_run=("VGG16",), ledger=False)
    return write_fake_study(tmp_path_factory.mktemp("studies") / "grid", fake)


def content(study: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((study / "study.json").read_text())
    return found


def cell(study: Path, name: str, protocol: str) -> dict[str, Any]:
    return next(
        c for c in content(study)["cells"] if (c["name"], c["protocol"]) == (name, protocol)
    )


def check_whole(page: Page) -> None:
    """It loads nothing, links only within and to reports beside it, and has no holes."""
    for target in page.loaded():
        inside = target.startswith(("data:", "#"))
        assert inside or re.fullmatch(r"(honest|published|ledger)/[\w./-]+\.html", target), target
    assert "http:" not in page.source and "https:" not in page.source
    assert len(page.ids()) == len(set(page.ids()))
    anchors = {target[1:] for target in page.loaded() if target.startswith("#")}
    assert anchors <= set(page.ids())
    assert len(page.scripts) == 1
    assert not re.search(r"\b(nan|None|null|inf|Undefined)\b", page.text)
    check_accessible(page)


def test_the_page_is_whole_and_links_to_the_reports_of_its_runs(page: Page) -> None:
    check_whole(page)
    assert "honest/mobilenetv2-finetune/report.html" in page.loaded()
    assert len(page.source) < 1_500_000


def test_the_first_screen_holds_claim_both_protocols_gap_and_substitutions(
    study: Path, page: Page
) -> None:
    first = page.text.partition("The paper’s table")[0]
    assert "best accuracy is 97" in first and "ResNet50V2" in first
    for protocol in ("published", "honest"):
        accuracy = cell(study, "mobilenetv2-finetune", protocol)["metrics"]["accuracy"]
        assert percent(accuracy["value"]) in first
        assert percent_span(accuracy) in first
    gap = content(study)["gaps"][0]["gap"]
    assert gap["low"] > 0
    assert f"The leaking protocol adds {points(gap).lstrip('+')} percentage points" in first
    assert CAUTION in first
    assert points_span(gap) in first
    for sentence in (*SUBSTITUTIONS, LEAK):
        assert sentence in first


def test_the_table_holds_the_papers_numbers_ours_and_why_not(study: Path, page: Page) -> None:
    assert f"97{NARROW}%" in page.text and f"96{NARROW}%" in page.text
    assert page.text.count(f"Not run: {WHY_NOT}.") == 2
    assert "stands in for ResNet50V2" in page.text
    for gap in content(study)["gaps"]:
        assert points(gap["gap"]) in page.text and gap["sentence"] in page.text


def test_every_published_number_of_a_table_is_marked(study: Path, page: Page) -> None:
    found = re.findall(r'<td class="n( leaks)?[^"]*">(?:<a [^>]*>)?([^<]+)', page.source)
    for name in ("mobilenetv2-finetune", "squeezenet1.1-finetune"):
        value = percent(cell(study, name, "published")["metrics"]["accuracy"]["value"])
        marks = {mark for mark, text in found if text == value}
        assert marks == {" leaks"}
    figure = (study / "figures" / "roc_published.svg").read_text()
    assert "LEAKS" in figure
    assert "LEAKS" not in (study / "figures" / "roc_honest.svg").read_text()
    assert "leaks" in (study / "figures" / "confusions_1.svg").read_text()


def test_classes_stand_beside_the_papers(study: Path, page: Page) -> None:
    own = json.loads((study / "honest/mobilenetv2-finetune/metrics.json").read_text())
    for row in own["per_class"].values():
        assert f"{row['recall']['value']:.2f}" in page.text
    assert page.text.count("0.97") >= 4  # the paper's recall of each class


def test_other_work_ends_with_our_lines(page: Page) -> None:
    part = page.text.partition("Beside other work")[2]
    assert part.index("Mask R-CNN") < part.index("The paper: ResNet50V2")
    assert part.index("The paper: ResNet50V2") < part.index("Ours, honest: MobileNetV2")


def test_the_ledger_stands_in_the_page(study: Path, page: Page) -> None:
    assert "To augment before the split is worth 15.0 points" in page.text
    assert "the data name no magnification" in page.text
    assert "figure-ledger" in page.ids() and (study / "figures" / "ledger.svg").is_file()


def test_counter_command_versions_and_seconds(page: Page) -> None:
    assert "720 features of an image or view computed, 4320 taken from the store" in page.text
    assert "used 7.0 times" in page.text
    assert "cytolens reproduce wong2023" in page.text
    assert "2.15.0" in page.text and f"2{NARROW}min 23{NARROW}s" in page.text


def test_complexity_is_a_table_and_a_figure(page: Page) -> None:
    assert "figure-weighing" in page.ids()
    part = page.text.partition("What the models cost")[2]
    for said in ("Multiply-adds, millions", "Milliseconds a prediction", "0.0051", "openvino"):
        assert said in part


def test_several_regimes_are_compared_by_tests_and_contrastive_ones_are_placed(grid: Path) -> None:
    page = Page(write_study_report(grid))
    check_whole(page)
    pairs = content(grid)["comparisons"]["honest"]["pairs"]
    named = {(pair["first"], pair["second"]): pair for pair in pairs}
    pair = named["mobilenetv2-finetune", "mobilenetv2-contrastive"]
    words = {"better": "better than", "worse": "worse than"}.get(
        pair["verdict"], "not shown to differ from"
    )
    said = f"MobileNetV2, contrastive: {words} fine-tuning ({points(pair['difference'])} points"
    assert said in page.text
    assert "embedding" in page.ids() and "figure-embedding_1" in page.ids()
    assert "figure-confusions_2" in page.ids() and "figure-curves_2" in page.ids()
    assert "ledger" not in page.ids()


def test_the_matrix_reads_along_the_row(grid: Path, tmp_path: Path) -> None:
    copy = copy_study(grid, tmp_path / "study")
    made = content(copy)["comparisons"]["honest"]
    difference = {"value": 0.05, "low": 0.01, "high": 0.09}
    pair = {"difference": difference, "p_holm": 0.004, "verdict": "better"}
    made["pairs"] = [{"first": "mobilenetv2-contrastive", "second": "mobilenetv2-finetune", **pair}]
    edit_json(copy / "study.json", comparisons={"honest": made, "published": None})
    page = Page(write_study_report(copy))
    row = (
        "MobileNetV2, fine-tuning against MobileNetV2, contrastive: better: +5.0 points, 1.0 to 9.0"
    )
    turned = "MobileNetV2, contrastive against MobileNetV2, fine-tuning: worse: −5.0 points"
    assert row in page.source and turned in page.source
    assert (
        "MobileNetV2, contrastive: worse than fine-tuning (−5.0 points, −9.0 to −1.0; p"
        in page.text
    )


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        ({"value": 0.01, "low": -0.02, "high": 0.04}, "the interval holds 0"),
        ({"value": -0.05, "low": -0.09, "high": -0.01}, "show no gain by leaking"),
        ({"value": 0.05, "low": None, "high": None}, "without an interval"),
    ],
)
def test_a_gap_is_called_what_it_is(
    study: Path, tmp_path: Path, gap: dict[str, Any], said: str
) -> None:
    copy = copy_study(study, tmp_path / "study")
    edit_json(copy / "study.json", gaps=[content(copy)["gaps"][0] | {"gap": gap}])
    bare(copy)
    assert said in Page(write_study_report(copy)).text


def bare(study: Path) -> None:
    """Take away the runs' parts that most figures are drawn from."""
    for name in ("predictions.parquet", "history.jsonl"):
        for file in study.glob(f"*/*/{name}"):
            file.unlink()


def test_one_protocol_alone_says_so(study: Path, tmp_path: Path) -> None:
    copy = copy_study(study, tmp_path / "study")
    bare(copy)
    cells = [c for c in content(copy)["cells"] if c["protocol"] == "honest"]
    edit_json(copy / "study.json", cells=cells, gaps=[], ledger=None, comparisons={})
    page = Page(write_study_report(copy))
    check_whole(page)
    assert "Only the honest protocol was run" in page.text
    assert "LEAKS" not in page.text and "Ours, its protocol" not in page.text


def test_data_without_patients_say_that_leakage_cannot_be_excluded(
    study: Path, tmp_path: Path
) -> None:
    copy = copy_study(study, tmp_path / "study")
    bare(copy)
    made = content(copy)
    for one in made["cells"]:
        if one["metrics"]:
            one["metrics"]["interval"]["unit"] = "near-duplicate cluster"
    edit_json(copy / "study.json", cells=made["cells"])
    assert (
        "leakage between images of one patient cannot be excluded"
        in Page(write_study_report(copy)).text
    )


def test_one_cell_alone_of_an_otherwise_empty_study(study: Path, tmp_path: Path) -> None:
    (tmp_path / "honest").mkdir()
    shutil.copytree(study / "honest/mobilenetv2-finetune", tmp_path / "honest/one")
    alone = cell(study, "mobilenetv2-finetune", "honest") | {"run": "honest/one"}
    rest = [cell(study, "resnet50v2-finetune", p) for p in ("published", "honest")]
    made = {"paper": {"name": "wong2023"}, "cells": [*rest, alone]}
    (tmp_path / "study.json").write_text(json.dumps(made))
    page = Page(write_study_report(tmp_path))
    check_whole(page)
    assert "1 of 2 rows of the table were run" in page.text


def test_nothing_run_at_all(study: Path, tmp_path: Path) -> None:
    rest = [cell(study, "resnet50v2-finetune", p) for p in ("published", "honest")]
    made = content(study) | {"cells": rest, "gaps": [], "comparisons": {}, "complexity": []}
    (tmp_path / "study.json").write_text(json.dumps(made | {"ledger": None}))
    page = Page(write_study_report(tmp_path))
    check_whole(page)
    assert "Nothing of this study was run" in page.text


def test_a_run_folder_that_is_gone_is_told(study: Path, tmp_path: Path) -> None:
    copy = copy_study(study, tmp_path / "study")
    bare(copy)
    shutil.rmtree(copy / "honest" / "mobilenetv2-finetune")
    text = Page(write_study_report(copy)).text
    assert "The run folder honest/mobilenetv2-finetune is not there any more" in text
    accuracy = cell(copy, "mobilenetv2-finetune", "honest")["metrics"]["accuracy"]
    assert percent(accuracy["value"]) in text


def test_foreign_markup_stays_text(study: Path, tmp_path: Path) -> None:
    copy = copy_study(study, tmp_path / "study")
    bare(copy)
    bad = "<script>alert(1)</script>"
    made = content(copy)
    for one in made["cells"]:
        one["model"] = bad if one["run"] else one["model"]
    edit_json(copy / "study.json", cells=made["cells"], substitutions=[bad])
    page = Page(write_study_report(copy))
    check_whole(page)
    assert bad in page.text and "alert" not in page.scripts[0]


def test_the_paper_decides_what_is_shown_first_not_our_results(study: Path) -> None:
    first = shown_first(lines(read_study(study)))
    assert first is not None and first.model == "MobileNetV2"  # SqueezeNet scores higher here
    assert first.paper_accuracy == 0.97


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"cells": []}, "is not of a study"),
        ({"paper": {"name": "x"}, "cells": []}, "has no cells"),
        (
            {"paper": {}, "cells": [{"name": "x"}], "ledger": {"rows": [{"name": "grouped"}]}},
            "The ledger in .* cannot be read",
        ),
    ],
)
def test_what_is_not_a_study_is_refused(made: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps(made))
    with pytest.raises(InputError, match=said):
        write_study_report(tmp_path)


def test_no_study_is_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no description of a study"):
        write_study_report(tmp_path)


def test_the_report_loads_no_torch(study: Path, tmp_path: Path) -> None:
    copy = copy_study(study, tmp_path / "study")
    bare(copy)
    code = (
        "import sys, pathlib\n"
        "from cytolens.report.study import write_study_report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_study_report(pathlib.Path(sys.argv[1]))\n"
        "assert not {'torch', 'timm', 'matplotlib.pyplot', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(copy)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("given", "found", "printed"),
    [
        (0.97, 0.97, f"97{NARROW}%"),
        (95.57, 0.9557, f"95.57{NARROW}%"),
        (1.0, 1.0, f"100{NARROW}%"),
        (0.8434, 0.8434, f"84.34{NARROW}%"),
        (None, None, "–"),
    ],
)
def test_papers_print_shares_or_percent(given: object, found: float | None, printed: str) -> None:
    assert share(given) == (None if found is None else pytest.approx(found))
    assert as_printed(given) == printed


def test_the_mean_curve_ends_where_the_first_fold_stops() -> None:
    nan = float("nan")
    values = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(together(values), [2.0, 3.0, nan])
    assert np.isnan(together(np.full((2, 2), nan))).all()
