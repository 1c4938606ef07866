"""`--engine`, `--ray-…` and `features` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "dask"), "none of local, ray"),
        (("--ray-address", "auto"), "--ray-address has no effect without --engine ray"),
        (("--ray-threads", 2), "--ray-threads has no effect without --engine ray"),
    ],
)
@pytest.mark.parametrize(
    "verb", [("run", "frozen"), ("features", "frozen"), ("reproduce", "wong2023")]
)
def test_options_without_effect_are_refused(
    cli: Any, phantoms: Path, verb: tuple[str, str], arguments: tuple[object, ...], said: str
) -> None:
    ended = cli(*verb, "--data", phantoms, *arguments)
    assert ended.code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())


def test_a_plan_has_no_engine_and_a_cluster_no_jobs(cli: Any, phantoms: Path) -> None:
    ended = cli("run", "--plan", "--data", phantoms, "--engine", "ray")
    assert ended.code == 2 and "no effect with --plan" in " ".join(ended.err.split())
    ended = cli("reproduce", "wong2023", "--data", phantoms, "--engine", "ray", "--jobs", 2)
    assert ended.code == 2 and "--jobs has no effect" in " ".join(ended.err.split())


def test_without_ray_it_is_one_message(
    cli: Any, phantoms: Path, tiny_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytolens.experiments.cluster.ray_cluster.find_spec", lambda _: None)
    ended = cli("features", tiny_toml, "--data", phantoms, "--engine", "ray")
    assert ended.code == 1
    assert "Ray is not installed" in ended.err and "cytolens[ray]" in ended.err


def test_features_fill_the_store(cli: Any, phantoms: Path, tiny_toml: Path) -> None:
    asked = ("features", tiny_toml, "--data", phantoms)
    assert cli(*asked, "--json").json() == {"computed": 36, "reused": 0, "shards": 0}
    assert cli(*asked).out == "0 computed; 36 were in the store.\n"


def test_predict_refuses_what_a_cluster_does_not_do(
    cli: Any, tiny_run: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = phantoms / "images"
    ended = cli("predict", tiny_run, images, "--ray-address", "auto")
    assert ended.code == 2 and "no effect without --engine ray" in " ".join(ended.err.split())
    ended = cli("predict", tiny_run, images, "--tiles", "--out", tmp_path, "--engine", "ray")
    assert ended.code == 1 and "36 slides would be scored by tiles" in ended.err
    monkeypatch.setattr("cytolens.experiments.cluster.ray_cluster.find_spec", lambda _: None)
    ended = cli("predict", tiny_run, images, "--engine", "ray")
    assert ended.code == 1 and "Ray is not installed" in ended.err
