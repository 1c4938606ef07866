"""`cytolens explain`: a run, images of one's own, and wrong usage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small run from which the paths of its manifest still hold."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("told") / "tiny"))


def test_a_run_is_explained_and_judged(
    cli: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = "cytolens.experiments.explaining.run.write_run_report"  # slow, and tested elsewhere
    monkeypatch.setattr(report, lambda run, **_: run / "report.html")
    quick = ("--method", "grad_cam", "--method", "lime", "--set", "lime.samples=10")
    ended = cli("explain", run, *quick, "--set", "lime.segments=6")
    assert ended.code == 0 and "explaining with LIME: " in ended.err
    first, second, rule, *_, folder, report = ended.out.splitlines()
    assert first.startswith("Grad-CAM             ") and first.endswith(" ms each")
    assert second.startswith("LIME                 ") and " images, " in second
    assert rule.startswith("Chosen by rule from ")
    assert folder == f"explanations       {run}/explanations"
    assert report == f"report             {run}/report.html"
    again = cli("explain", run, *quick)
    assert again.code == 1 and "pass --overwrite" in again.err

    judged = ("--judge", "--most", 4, "--overwrite", "--method", "grad_cam")
    told = cli("explain", run, *judged)
    found = json.loads((run / "explanations" / "judgement.json").read_text())
    assert (found["n"], found["masks"], found["unit"]) == (4, True, "group")
    assert {method["name"] for method in found["methods"]} == {"grad_cam", "random_map"}
    for method in found["methods"]:
        word = "trusted" if method["trusted"] else "not trusted"
        assert f"{method['title']:<20} {word}: {method['why']}\n" in told.out
    assert "Judged on 4, drawn with seed 0, of the " in told.out
    monkeypatch.setattr("cytolens.experiments.explaining.judging.judge", lambda *_, **__: found)
    assert cli("explain", run, *judged, "--json").json()["judgement"] == found


def test_images_of_ones_own(cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"x")
    shutil.copy(next((phantoms / "images" / "SCC").iterdir()), tmp_path / "good.png")
    cam = ("--method", "grad_cam", "--target", "SCC", "--against", "NILM")
    out = tmp_path / "explained"
    ended = cli("explain", tiny_run / "bundle", tmp_path, *cam, "--out", out, "--json")
    assert ended.code == 1 and "1 of 2 files could not be used." in ended.err
    assert f"{tmp_path}/bad.png is not an image of a known format" in ended.err
    [image] = ended.json()["images"]
    assert image["target"] == "SCC against NILM" and image["label"] is None
    fine = cli("explain", tiny_run, tmp_path / "good.png", *cam, "--out", tmp_path / "fine")
    assert fine.code == 0 and fine.out.endswith(f"explanations       {tmp_path}/fine\n")
    (tmp_path / "none").mkdir()
    nothing = cli("explain", tiny_run, tmp_path / "none", *cam)
    assert nothing.code == 1 and "There are no images." in nothing.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "gradcam"), "did you mean 'grad_cam'?"),
        (("--method", "grad_cam", "--target", "SC"), "did you mean 'SCC'?"),
        (("--method", "grad_cam", "--target", "SCC", "--against", "SCC"), "is always 0"),
        (("--method", "grad_cam", "--layer", "x"), "The network cannot be opened at 'x'"),
        (("--method", "grad_cam", "--set", "grad_cam.leyer=x"), "did you mean 'layer'?"),
    ],
)
def test_bad_input_changes_nothing(
    cli: Any, run: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(run.rglob("*"))
    ended = cli("explain", run, *arguments)
    assert ended.code == 1 and message in ended.err and "Traceback" not in ended.err
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument"),
        (("run", "--out", "x"), "--out has no effect without images"),
        (("run", "image.png", "--judge"), "--judge is for a run"),
        (("run", "--most", "5"), "--most has no effect without --judge"),
        (("run", "--target", "a", "--against", "b", "--decision"), "one of --against and --dec"),
    ],
)
def test_wrong_usage(cli: Any, arguments: tuple[str, ...], message: str) -> None:
    ended = cli("explain", *arguments)
    assert ended.code == 2 and message in " ".join(ended.err.replace("│", " ").split())
