"""The report of one run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_run import Fake, edit_json, write_fake_run
from page_check import Page, check_accessible, check_self_contained

from cytolens.core.errors import InputError
from cytolens.report.run_report import write_run_report
from cytolens.report.text import interval_text, number, percent

FIGURES = (
    "class_balance", "training_curves", "confusion_matrix", "per_class", "roc",
    "precision_recall", "reliability",
)  # fmt: skip


def copied(run: Path, tmp_path: Path, *without: str) -> Path:
    """Return a copy whose files may be changed, `without` some; figures and report are left out."""
    target = tmp_path / "run"
    left_out = shutil.ignore_patterns("figures", "report.html", *without)
    shutil.copytree(run, target, ignore=left_out)
    return target


SLOW = ("predictions.parquet", "history.jsonl")  # what most figures are drawn from


def test_the_report_is_one_accessible_file_that_loads_nothing(honest: Path) -> None:
    page = Page(honest / "report.html")
    check_self_contained(page)
    check_accessible(page)
    assert len(page.source) < 1_500_000


def test_every_figure_lies_there_as_svg_and_png_and_stands_in_the_page(honest: Path) -> None:
    page = Page(honest / "report.html")
    for name in FIGURES:
        svg = (honest / "figures" / f"{name}.svg").read_text()
        assert "<text" in svg and "<dc:date>" not in svg
        assert (honest / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"figure-{name}" in page.ids()


def test_the_numbers_are_those_of_the_metrics(honest: Path) -> None:
    page = Page(honest / "report.html")
    metrics = json.loads((honest / "metrics.json").read_text())
    assert percent(metrics["accuracy"]["value"]) in page.text
    scores = [metrics[name] for name in ("accuracy", "macro_f1", "auc", "mcc", "ece", "brier")]
    scores += [row[name] for row in metrics["per_class"].values() for name in ("recall", "f1")]
    for score in scores:
        assert number(score["value"]) in page.text
        assert interval_text(score) in page.text
    for row in metrics["confusion"]:
        assert all(f">{count}</text>" in page.source for count in row)


def test_the_sections_say_what_the_run_folder_says(honest: Path) -> None:
    text = Page(honest / "report.html").text
    for said in (
        "phantom-cervix",
        "cytolens run phantom-cervix --out runs/phantom",
        "learning_rate = 0.001",
        "grouped stratified k-fold",
        "1 near duplicate joins two patients",
        "1 image cannot be used",
        "openvino f32",
        "32.9\N{NARROW NO-BREAK SPACE}s in all",
        "no medical device",
    ):
        assert said in text


def test_the_stamp_is_there_exactly_if_the_run_leaks(honest: Path, published: Path) -> None:
    clean, leaky = Page(honest / "report.html"), Page(published / "report.html")
    assert "LEAKS" not in clean.source
    assert "LEAKS" in leaky.text and "24 patients stand in both" in leaky.text
    assert "LEAKS" in (published / "figures" / "roc.svg").read_text()
    assert "LEAKS" not in (published / "figures" / "class_balance.svg").read_text()
    assert "LEAKS" not in (honest / "figures" / "roc.svg").read_text()


def test_the_published_protocol_is_stamped_without_a_reason_too(
    published: Path, tmp_path: Path
) -> None:
    run = copied(published, tmp_path, *SLOW)
    edit_json(run / "metrics.json", leaks=[])
    assert "LEAKS" in Page(write_run_report(run)).text


def test_fallbacks_are_loud(honest: Path, published: Path) -> None:
    assert "the small backbone stood in" in Page(published / "report.html").text
    assert "Fallback." not in Page(honest / "report.html").text


def test_foreign_markup_stays_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    fake = Fake(classes=(bad, "$a_{b$ & 'c'", "plain"), n=60, folder='x"><script>y')
    fake.notes = (bad,)
    run = write_fake_run(tmp_path / "run", fake)
    page = Page(write_run_report(run))
    check_self_contained(page)
    assert bad in page.text
    assert "alert" not in page.scripts[0]


def test_only_our_script_may_run(honest: Path) -> None:
    import base64
    import hashlib

    page = Page(honest / "report.html")
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.source


def test_images_that_are_gone_leave_a_note(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path)
    shutil.rmtree(run / "images")
    shutil.rmtree(run / "samples")
    page = Page(write_run_report(run))
    assert "no image" in page.text and "What the network saw" not in page.text
    check_accessible(page)


def test_metrics_alone_are_enough(honest: Path, tmp_path: Path) -> None:
    shutil.copy(honest / "metrics.json", tmp_path)
    page = Page(write_run_report(tmp_path))
    check_self_contained(page)
    assert "figure-confusion_matrix" in page.ids() and "figure-roc" not in page.ids()


def test_undefined_scores_are_dashes(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path)
    undefined = {"value": None, "low": None, "high": None}
    metrics = json.loads((run / "metrics.json").read_text())
    names = [name for name, score in metrics.items() if isinstance(score, dict) and "low" in score]
    lost = dict.fromkeys(names, undefined) | {"kappa": None}
    for row in metrics["per_class"].values():
        row.update(dict.fromkeys(("recall", "f1", "auc"), undefined) | {"precision": None})
    empty = [{**b, "n": 0, "confidence": None, "accuracy": None} for b in metrics["reliability"]]
    edit_json(run / "metrics.json", per_class=metrics["per_class"], reliability=empty, **lost)
    page = Page(write_run_report(run))
    assert "is undefined" in page.text
    check_self_contained(page)


def test_a_training_without_validation_and_with_one_fold(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path, SLOW[0])
    line = {
        "fold": 0, "repeat": 0, "epoch": 1, "lr": 0.1, "seconds": None, "train_loss": 0.5,
        "train_accuracy": None, "validation_loss": None, "validation_accuracy": None, "best": True,
    }  # fmt: skip
    (run / "history.jsonl").write_text(json.dumps(line) + "\n")
    assert "figure-training_curves" in Page(write_run_report(run)).ids()


def test_an_audit_of_images_nobody_could_read(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path, *SLOW)
    none: dict[str, list[str]] = {"exact": [], "near": [], "across_labels": [], "across_groups": []}
    edit_json(
        run / "audit.json",
        imbalance=None, sizes={}, problems={}, duplicates=none, siblings=[], artefacts=[],
        groups={"present": False, "count": 0, "largest": 0, "mixed_labels": []},
    )  # fmt: skip
    text = Page(write_run_report(run)).text
    assert "not known" in text and "The audit found no unusable images" in text


def test_a_run_without_groups_says_that_patients_may_leak(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path, *SLOW)
    interval = json.loads((run / "metrics.json").read_text())["interval"]
    edit_json(run / "metrics.json", interval=interval | {"unit": "near-duplicate cluster"})
    assert "Patient leakage cannot be excluded" in Page(write_run_report(run)).text


def test_svgs_are_the_same_bytes_each_time(honest: Path, tmp_path: Path) -> None:
    run = copied(honest, tmp_path)
    write_run_report(run)
    for name in FIGURES:
        file = f"figures/{name}.svg"
        assert (run / file).read_bytes() == (honest / file).read_bytes()
    assert (run / "report.html").read_bytes() == (honest / "report.html").read_bytes()


def test_no_metrics_is_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no metrics of a run"):
        write_run_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="missing: accuracy"):
        write_run_report(tmp_path)


def test_reporting_loads_no_torch(honest: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from cytolens.report.run_report import write_run_report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_run_report(pathlib.Path(sys.argv[1]))\n"
        "banned = {'torch', 'timm', 'matplotlib.pyplot', 'sklearn', 'scipy'}\n"
        "assert not banned & set(sys.modules), banned & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(honest)], check=True, timeout=60)


def test_the_users_matplotlib_settings_stay(honest: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 31.0, "svg.hashsalt": "mine"}):
        write_run_report(honest)
        assert matplotlib.rcParams["font.size"] == 31.0
        assert matplotlib.rcParams["svg.hashsalt"] == "mine"
