"""`run --profile`: what is written, that it adds up, and that it changes no number."""

from __future__ import annotations

from pathlib import Path

import pytest

from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.experiments.profiled import arranged, write_profile
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.run import run_recipe


def test_a_profiled_run_tells_where_its_time_went(
    tiny: Recipe, phantoms: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = run_recipe(tiny, read_manifest(phantoms), tmp_path / "run", profiled=True)
    found = read_json(run / "profile.json", "profile")
    names = [stage["name"] for stage in found["stages"]]
    assert names == [
        "check",
        "extract",
        "train",
        "predict",
        "evaluate",
        "doubt",
        "bundle",
        "report",
        "other",
    ]
    whole = found["seconds"]
    assert sum(stage["seconds"] for stage in found["stages"]) == pytest.approx(whole, abs=0.01)
    assert sum(stage["share"] for stage in found["stages"]) == pytest.approx(1.0, abs=0.01)
    inside = {one["name"]: one for one in found["inside"]}
    assert inside["hash"]["calls"] == 36
    assert inside["resize"]["calls"] == 36, "each image once for its features"
    assert inside["decode"]["calls"] >= 72, "for its facts and for its features"
    assert all(one["busy"] >= one["seconds"] > 0 for one in inside.values())
    assert found["elsewhere"] is None
    page = (run / "report.html").read_text()
    assert 'id="profile"' in page and 'id="figure-profile"' in page
    assert (run / "figures" / "profile.svg").exists()
    same = "predictions.parquet"
    assert (run / same).read_bytes() == (tiny_run / same).read_bytes()
    assert {path.name for path in run.iterdir()} == {
        *(path.name for path in tiny_run.iterdir()),
        "profile.json",
    }


def test_what_no_stage_accounts_for_is_said() -> None:
    stages = [
        {"name": "train", "seconds": 6.0, "busy": 6.0, "calls": 2},
        {"name": "read", "seconds": 3.0, "busy": 5.0, "calls": 9},
    ]
    found = arranged({"seconds": 8.0, "stages": stages, "elsewhere": None})
    assert found["stages"] == [
        {"name": "train", "seconds": 6.0, "share": 0.75},
        {"name": "other", "seconds": 2.0, "share": 0.25},
    ]
    assert found["inside"] == [stages[1]], "it happens within the others"


def test_nothing_is_written_that_was_not_asked_for(tmp_path: Path) -> None:
    assert not write_profile(tmp_path)
    assert list(tmp_path.iterdir()) == []
