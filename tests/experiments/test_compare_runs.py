"""Finished runs are compared by name; runs that cannot be compared are told apart."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import read_json, write_json
from cytolens.evaluation import compare
from cytolens.experiments.compare import compare_runs, pairs_csv
from cytolens.experiments.finished import read_finished, unique_names

Vary = Callable[..., Path]


def test_runs_are_compared_as_their_predictions_are(vary: Vary, tiny_run: Path) -> None:
    other = vary("other", sharper=0.7)
    found = compare_runs([tiny_run, other], "auc", resamples=60, seed=3)
    runs = read_finished([tiny_run, other])
    named = {run.name: run.predictions for run in runs}
    assert found == compare(named, "auc", resamples=60, seed=3, unit_name="group")
    assert [run["name"] for run in found["runs"]] == ["tiny", "other"]
    assert (found["unit"], found["units"], found["n"]) == ("group", 12, 36)
    [pair] = found["pairs"]
    assert pair["difference"]["value"] > 0


def test_names_are_as_long_as_it_takes() -> None:
    places = [Path("/a/x/run"), Path("/a/y/run"), Path("/a/y/other"), Path("/b/y/run")]
    assert unique_names(places) == ["x/run", "a/y/run", "other", "b/y/run"]


def test_the_pairs_as_a_table(vary: Vary, tiny_run: Path) -> None:
    found = compare_runs([tiny_run, vary("b", sharper=0.7)], resamples=100)
    [row] = csv.DictReader(io.StringIO(pairs_csv(found)))
    pair = found["pairs"][0]
    assert (row["first"], row["second"], row["verdict"]) == ("tiny", "b", pair["verdict"])
    assert float(row["difference"]) == pair["difference"]["value"]
    assert float(row["mcnemar_p"]) == pair["mcnemar"]["p"]


def test_other_images_are_refused_or_left_out(vary: Vary, tiny_run: Path) -> None:
    part = vary("part", keep=30)
    with pytest.raises(InputError) as caught:
        compare_runs([tiny_run, part])
    assert str(caught.value).startswith(
        "tiny and part differ in 6 images; all runs share 30 images.\n"
    )
    assert "Way out: compare on the shared images (--common)." in str(caught.value)
    found = compare_runs([tiny_run, part], common=True, resamples=50)
    assert found["n"] == 30 and found["pairs"][0]["difference"]["value"] == 0


def test_what_is_no_run_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 run; two or more are needed"):
        compare_runs([tiny_run])
    with pytest.raises(InputError, match="A run is given more than once"):
        compare_runs([tiny_run, tiny_run / ".." / "tiny"])
    with pytest.raises(InputError, match="There is no metrics of a run at"):
        compare_runs([tiny_run, tmp_path])
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="is not the metrics of a run"):
        compare_runs([tiny_run, tmp_path])
    shutil.copy(tiny_run / "metrics.json", tmp_path / "metrics.json")
    with pytest.raises(InputError, match="does not hold predictions of"):
        compare_runs([tiny_run, tmp_path])
    table = pyarrow.parquet.read_table(tiny_run / "predictions.parquet").to_pydict()
    table["fold"] = ["first"] * len(table["fold"])
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "predictions.parquet")
    with pytest.raises(InputError, match="does not hold predictions of .*'first'"):
        compare_runs([tiny_run, tmp_path])
    metrics = read_json(tiny_run / "metrics.json", "metrics")
    for interval in (None, {}):
        write_json(tmp_path / "metrics.json", metrics | {"interval": interval})
        with pytest.raises(InputError, match="is not the metrics of a run"):
            compare_runs([tiny_run, tmp_path])
