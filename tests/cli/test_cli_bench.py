"""`cytolens bench`: suites by name, the files it writes, what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from cytolens.bench.measure import Line, not_measured, time_line, value_line
from cytolens.bench.run import run_bench
from cytolens.bench.suite import SUITES, Options
from cytolens.core.errors import InputError


def quick_suite(options: Options) -> list[Line]:
    """Nothing, measured quickly."""
    assert options.quick and options.folder.is_dir() and not list(options.folder.iterdir())
    times = {"ours": [1.0, 1.0], "plain <torch> & co": [2.0, 4.0]}
    return [
        time_line("work", times, "plain <torch> & co", mark=5.0, note="a [note] of it"),
        not_measured("work", "Keras", [1.0], "s", "not installed: keras"),
        value_line("alone", [3.0], "MiB", mark=4.0),
    ]


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put one quick suite in place of all."""
    from cytolens.core.registry import Registry

    registry: Registry[object] = Registry("suite")
    registry.register("quick", quick_suite)
    for place in ("cytolens.bench.suite", "cytolens.bench.run"):
        monkeypatch.setattr(f"{place}.SUITES", registry)
    return "quick"


@pytest.mark.usefixtures("suite")
def test_it_writes_data_and_a_figure(tmp_path: Path) -> None:
    said: list[str] = []
    content = run_bench(out=tmp_path / "bench", quick=True, say=said.append)
    assert said == ["quick"]
    assert json.loads((tmp_path / "bench" / "bench.json").read_text()) == content
    [found] = content["suites"]
    assert found["title"] == "Nothing, measured quickly"
    assert [line["met"] for line in found["lines"]] == [False, None, True]
    assert content["machine"]["cores"] >= 1 and content["machine"]["packages"]["torch"]
    figure = (tmp_path / "bench" / "bench.svg").read_text()
    assert figure.count("<svg") == 1 and not re.search(r"nan|inf\b", figure)


@pytest.mark.usefixtures("suite")
def test_the_table_and_the_json(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ended = cli("bench", "--quick", "--out", tmp_path / "bench")
    assert ended.code == 0
    for part in ("5 MISSED", "not installed: keras", "a [note] of it", "4 met", "bench.json"):
        assert part in ended.out
    assert cli("bench", "--quick", "--json").json()["suites"][0]["name"] == "quick"


def test_the_suites_are_listed_in_their_order(cli) -> None:  # type: ignore[no-untyped-def]
    ended = cli("bench", "--list")
    names = [line.split()[0] for line in ended.out.splitlines() if not line.startswith(" ")]
    assert names[:3] == ["extraction", "frozen", "finetune"] and tuple(names) == SUITES.names()
    assert all(SUITES.get(name).__doc__ for name in names)


def test_an_unknown_suite_is_refused(cli) -> None:  # type: ignore[no-untyped-def]
    ended = cli("bench", "--suite", "extractoin")
    assert ended.code == 1 and "extraction" in ended.err


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="There is no CUDA device here"):
        run_bench(["start"], device="cuda")


def test_another_device_is_wrong_usage(cli) -> None:  # type: ignore[no-untyped-def]
    ended = cli("bench", "--device", "tpu")
    assert ended.code == 2 and "neither cpu nor cuda" in ended.err
