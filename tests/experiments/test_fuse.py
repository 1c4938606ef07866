"""An ensemble is a run folder that says truly what it is made of."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.evaluation import fuse
from cytolens.experiments.compare import compare_runs
from cytolens.experiments.finished import read_finished
from cytolens.experiments.fuse import fuse_runs

Vary = Callable[..., Path]


def test_the_folder_of_an_ensemble(vary: Vary, tiny_run: Path, tmp_path: Path) -> None:
    other = vary("other", sharper=0.6)
    out = fuse_runs([tiny_run, other], "fuzzy_rank", tmp_path / "deep" / "er" / "fused")
    assert {path.name for path in out.iterdir()} == {
        *("recipe.toml", "environment.json", "manifest.csv", "audit.json", "split.json"),
        *("predictions.parquet", "metrics.json", "figures", "report.html"),
    }
    assert list(out.parent.iterdir()) == [out], "no .partial, no .lock"
    members = read_finished([tiny_run, other])
    [fused, _] = read_finished([out, tiny_run])
    expected = fuse([run.predictions for run in members], "fuzzy_rank")
    assert fused.predictions.probabilities == pytest.approx(expected.probabilities)
    own = read_json(tiny_run / "metrics.json", "metrics")
    assert fused.metrics.keys() == own.keys()
    assert (fused.protocol, fused.leaks, fused.unit) == ("honest", [], "group")
    assert fused.metrics["interval"] == own["interval"]
    recipe = tomllib.loads((out / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe["fusion"] == {"method": "fuzzy_rank", "members": ["tiny", "other"]}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "fuzzy_rank of 2 runs" in page and "An ensemble of tiny, other." in page
    with (out / "manifest.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 36
    assert all((out / row["image"]).is_file() and (out / row["mask"]).is_file() for row in rows)


def test_ensembles_can_be_compared_and_fused_again(vary: Vary, tmp_path: Path) -> None:
    runs = [vary(name, sharper=share) for name, share in (("a", 0.0), ("b", 0.5))]
    fused = fuse_runs(runs, "mean", tmp_path / "mean")
    again = fuse_runs([fused, runs[0]], "majority", tmp_path / "again")
    found = compare_runs([*runs, fused, again], resamples=50)
    assert [run["name"] for run in found["runs"]] == ["a", "b", "mean", "again"]


def test_what_leaks_in_a_member_leaks_in_the_ensemble(vary: Vary, tmp_path: Path) -> None:
    honest = vary("honest")
    leaky = vary("leaky", protocol="published", leaks=["2 groups on both sides"])
    out = fuse_runs([honest, leaky], "mean", tmp_path / "fused")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["protocol"] == "published"
    assert metrics["leaks"] == ["leaky: 2 groups on both sides"]
    assert "LEAKS" in (out / "report.html").read_text(encoding="utf-8").upper()
    stamped = vary("stamped", protocol="published")
    out = fuse_runs([honest, stamped], "mean", tmp_path / "without")
    assert json.loads((out / "metrics.json").read_text())["protocol"] == "published"


def test_other_costs_of_a_member_are_noted(vary: Vary, tmp_path: Path) -> None:
    first, second = vary("first"), vary("second")
    text = (second / "recipe.toml").read_text(encoding="utf-8")
    assert text.count("loss_weight = 1.0") == 1
    (second / "recipe.toml").write_text(text.replace("loss_weight = 1.0", "loss_weight = 2.0"))
    out = fuse_runs([first, second], "mean", tmp_path / "fused")
    assert read_json(out / "environment.json", "environment")["notes"] == [
        "second weighs errors by other costs; those of first are used"
    ]


def test_what_cannot_be_fused_is_refused(vary: Vary, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "fused"
    with pytest.raises(InputError, match=r"Unknown fusion 'meen' \(did you mean 'mean'\?\)"):
        fuse_runs([tiny_run, vary("a")], "meen", out)
    with pytest.raises(InputError, match="1 run; two or more are needed"):
        fuse_runs([tiny_run], "mean", out)
    with pytest.raises(InputError, match="differ in 6 images"):
        fuse_runs([tiny_run, vary("part", keep=30)], "mean", out)
    own = vary("own")
    with pytest.raises(InputError, match="is one of the runs that are fused"):
        fuse_runs([tiny_run, own], "mean", own, overwrite=True)
    bare = vary("bare")
    (bare / "manifest.csv").unlink()
    with pytest.raises(InputError, match=r"There is no .*manifest\.csv"):
        fuse_runs([bare, own], "mean", out)
    (bare / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not the manifest of a run"):
        fuse_runs([bare, own], "mean", out)
    assert not out.exists() and not list(tmp_path.glob("*.partial"))
    fuse_runs([tiny_run, own], "mean", out)
    with pytest.raises(InputError, match="already holds a finished run"):
        fuse_runs([tiny_run, own], "mean", out)
    fuse_runs([tiny_run, own], "majority", out, overwrite=True)
