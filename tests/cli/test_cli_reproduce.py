"""`cytolens reproduce`, and the papers' experiments among the recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

MAP = 'data.label_map={NILM="benign", LSIL="benign", HSIL="malignant", SCC="malignant"}'


@pytest.fixture(autouse=True)
def no_run_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the reports of the single runs, which other tests read."""

    def skip(run: Path) -> None:
        (run / "report.html").write_text("")

    monkeypatch.setattr("cytolens.experiments.run.write_run_report", skip)


def test_reproduce(cli: Any, phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    command = ["reproduce", "prasuna2023", "--data", phantoms, "--out", out, "--quick"]
    command += ["--no-ledger", "--set", MAP, "--set", "pixels.size=32"]
    ended = cli(*command)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("Classification of Breast Cancer Images with Transfer Learning")
    assert lines[1].startswith("on phantoms: 36 images (benign ")
    assert lines[2].startswith("- A quick run")
    assert "- cytolens_tiny stands in for ResNet50V2." in lines
    (row,) = [line for line in lines if "cytolens_tiny for ResNet50V2" in line]
    assert "0.9344" in row and row.count("(") == 3, "two accuracies and a gap, with intervals"
    assert any(line.startswith("LEAKS: ") for line in lines)
    assert any("Of the 0.9344 that the paper reports for ResNet50V2" in line for line in lines)
    assert (
        "not run: published/resnet50v2-frozen, honest/resnet50v2-frozen: "
        "No ImageNet weights of resnetv2_50 are reachable."
    ) in lines
    assert lines[-1] == f"report  {out / 'report.html'}" and (out / "report.html").exists()
    again = cli(*command, "--json").json()
    assert again["paper"]["name"] == "prasuna2023" and len(again["cells"]) == 4
    assert again["command"].startswith("cytolens reproduce prasuna2023")


def test_wrong_words(cli: Any, phantoms: Path, tmp_path: Path) -> None:
    ended = cli("reproduce", "wong", "--data", tmp_path / "nowhere")
    assert ended.code == 1 and "There is no paper 'wong' (did you mean 'wong2023'?)." in ended.err
    ended = cli("reproduce", "wong2023", "--data", phantoms, "--protocol", "fair")
    assert (ended.code, ended.out) == (1, "") and "There is no protocol 'fair'." in ended.err
    ended = cli("reproduce", "wong2023", "--data", phantoms, "--models", "ResNet50V3")
    assert ended.code == 1 and "did you mean 'ResNet50V2'?" in ended.err


def test_the_papers_are_among_the_recipes(cli: Any) -> None:
    found = cli("recipes", "--json").json()
    assert found["contrastive2023/mobilenetv2-contrastive"].startswith("MobileNetV2, supervised")
    assert list(found).index("frozen") < list(found).index("wong2023/resnet50v2-frozen")
    assert "murtoza/lodo " in cli("recipes").out
