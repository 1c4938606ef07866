"""`cytolens compare` and `cytolens fuse` on a run and a leaking copy of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def leaky(tiny_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "leaky [copy]"
    shutil.copytree(tiny_run, folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics |= {"protocol": "published", "leaks": ["2 groups on both sides"]}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_compare(cli: Any, tiny_run: Path, leaky: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    ended = cli("compare", tiny_run, leaky, "--resamples", 50, "--out", pairs)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == (
        "accuracy (higher is better) of 36 images, with 95\N{NARROW NO-BREAK SPACE}% interval over "
        "units (group, 12 of them)"
    )
    assert lines[1].startswith("  tiny: 0.") and lines[1].endswith(")")
    assert lines[2].startswith("  leaky [copy]: 0.") and lines[2].endswith("  LEAKS")
    assert "2 leaky [copy] LEAKS" in ended.out and "not shown to differ" in ended.out
    assert "  tiny / leaky [copy]: only one is right in 0 / 0 images, p = 1, corrected 1" in lines
    assert "it takes images for independent" in ended.out
    assert pairs.read_text().count("\n") == 2


def test_compare_as_json(cli: Any, tiny_run: Path, leaky: Path) -> None:
    options = ("--score", "log_loss", "--resamples", 50, "--common", "--json")
    found = cli("compare", tiny_run, leaky, *options).json()
    assert (found["score"], found["n"], found["resamples"]) == ("log_loss", 36, 100)
    assert found["pairs"][0]["verdict"] == "not shown to differ"


def test_compare_refuses(cli: Any, tiny_run: Path, leaky: Path, tmp_path: Path) -> None:
    assert "two or more are needed" in cli("compare", tiny_run).err
    wrong = cli("compare", tiny_run, leaky, "--score", "acc")
    assert wrong.code == 1 and "Unknown score 'acc'" in wrong.err
    page = cli("compare", tiny_run, leaky, "--out", tmp_path / "a.html")
    assert page.code == 1 and "does not end in .csv" in page.err
    assert cli("compare").code == 2


def test_fuse(cli: Any, tiny_run: Path, leaky: Path, tmp_path: Path) -> None:
    out = tmp_path / "fused"
    ended = cli("fuse", tiny_run, leaky, "--method", "majority", "--out", out)
    assert (ended.code, ended.err) == (0, "")
    assert "LEAKS: leaky [copy]: 2 groups on both sides\n" in ended.out
    assert ended.out.endswith(f"report             {out / 'report.html'}\n")
    again = cli("fuse", tiny_run, leaky, "--out", out)
    assert again.code == 1 and "already holds a finished run" in again.err
    replaced = cli("fuse", tiny_run, leaky, "--out", out, "--overwrite", "--json").json()
    assert replaced["protocol"] == "published" and replaced["n"] == 36
    wrong = cli("fuse", tiny_run, leaky, "--method", "fuzzy_rang", "--out", tmp_path / "b")
    assert wrong.code == 1 and "did you mean 'fuzzy_rank'" in wrong.err
    assert cli("compare", tiny_run, out, "--resamples", 20).code == 0
