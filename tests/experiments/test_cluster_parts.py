"""What a cluster is asked and handed, without one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cytolens.bundle import load_bundle
from cytolens.bundle.inputs import Item
from cytolens.core import threads
from cytolens.core.errors import InputError
from cytolens.core.files import lock, sha256_file
from cytolens.data.facts import scan_or_fail
from cytolens.data.loading import read_manifest
from cytolens.experiments.cluster import probe, ray_cluster
from cytolens.experiments.cluster.prediction import check_prediction
from cytolens.experiments.cluster.probe import Expectation, missing, versions
from cytolens.experiments.cluster.surroundings import Surroundings
from cytolens.experiments.cluster.where import Where
from cytolens.experiments.extracting import extract_features
from cytolens.experiments.learning.frozen import DeepFrozen, DeepShard
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.run import run_recipe
from cytolens.features.store import Store


def test_without_ray_the_sentence_names_the_package(
    tiny: Recipe, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"Ray is not installed(.|\n)*cytolens\[ray\]"):
        run_recipe(tiny, read_manifest(phantoms), tmp_path / "run", where=Where("ray"))


def test_ray_is_loaded_only_where_it_is_asked_for() -> None:
    code = (
        "import sys, cytolens.experiments.reproduce, cytolens.experiments.extracting\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_engines_and_options_without_effect_are_refused() -> None:
    with pytest.raises(InputError, match="no engine 'dask'"):
        Where("dask")
    for wrong in ({"address": "auto"}, {"threads": 2}):
        with pytest.raises(InputError, match="no effect without --engine ray"):
            Where("local", **wrong)  # type: ignore[arg-type]


def expectation(tmp_path: Path, **changes: Any) -> Expectation:
    image = tmp_path / "image.png"
    image.write_bytes(b"an image")
    token = tmp_path / "token"
    token.write_text("token")
    known = Expectation(Path.cwd(), ((image, sha256_file(image)),), (token,), versions())
    return replace(known, **changes)


def test_a_node_like_this_one_lacks_nothing(tmp_path: Path) -> None:
    expected = expectation(tmp_path)
    with lock(expected.tokens[0], ""):
        answers, lacks = missing(expected)
    assert lacks == []
    assert [path.parent for path in answers] == [tmp_path] and answers[0].exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folder": Path("/nowhere")}, "does not see the folder /nowhere"),
        ({"files": ((Path("/nowhere/a.png"), "0"),)}, "does not see /nowhere/a.png"),
        ({"tokens": (Path("/nowhere/token"),)}, "does not share the folder /nowhere"),
        ({"versions": {"torch": "0.1"}}, "instead of 0.1"),
    ],
)
def test_what_a_node_lacks_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    expected = expectation(tmp_path, **changes)
    with lock(tmp_path / "token", ""):
        _, lacks = missing(expected)
    assert len(lacks) == 1 and said in lacks[0]


def test_a_node_with_other_bytes_or_without_locks_is_found(tmp_path: Path) -> None:
    expected = expectation(tmp_path)
    expected.files[0][0].write_bytes(b"another image")
    _, lacks = missing(expected)  # nobody holds the token's lock, as where locks are not shared
    assert lacks == [
        f"sees another file at {tmp_path / 'image.png'}",
        f"sees no locks of other machines in {tmp_path}",
    ]


def test_images_are_sampled_over_all_of_the_data() -> None:
    assert probe._spread(3, 16) == [0, 1, 2]
    chosen = probe._spread(1000, 16)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 999, 16)
    assert max(b - a for a, b in pairwise(chosen)) < 70


def test_a_task_finds_the_surroundings_of_who_sent_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CYTOLENS_WEIGHTS", "weights of here")
    ours = Surroundings.here(3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, value in {"CYTOLENS_WEIGHTS": "of there", "CYTOLENS_CORES": "7"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CYTOLENS_STORE_LIMIT", "1")
    ours.enter()
    assert Path.cwd() == tmp_path
    assert os.environ["CYTOLENS_WEIGHTS"] == "weights of here"
    assert "CYTOLENS_STORE_LIMIT" not in os.environ, "it is not set where the task comes from"
    assert threads.cores() == 3


def frozen(recipe: Recipe, phantoms: Path) -> DeepFrozen:
    manifest = read_manifest(phantoms)
    network = Network(recipe, len(manifest.classes))
    table = network.table(manifest, scan_or_fail(manifest), Store())
    rows = list(range(len(manifest)))
    return DeepFrozen(network, table, {0: rows, "hflip": rows[:10]})


def test_shards_cut_between_images_and_cover_all_once(tiny: Recipe, phantoms: Path) -> None:
    work = frozen(tiny, phantoms)
    assert (work.asked, work.missing()) == (46, 46)
    shards = list(work.shards(8))
    found = []
    for shard in shards:
        assert (isinstance(shard, DeepShard) and 8 <= shard.rows <= 9) or shard is shards[-1]
        found += [(shard.sources[i].id, v) for i, v in shard.todo]
    assert len(found) == len(set(found)) == 46
    images = [{source.id for source in shard.sources} for shard in shards]
    assert sum(map(len, images)) == len(set.union(*images)) == 36, "an image in one shard"


def test_a_shard_computes_what_another_try_left(tiny: Recipe, phantoms: Path) -> None:
    work = frozen(tiny, phantoms)
    first, second, *_ = work.shards(16)
    store = Store()
    assert first.compute(store) == first.rows
    assert first.compute(store) == 0, "after a lost worker nothing is computed twice"
    assert work.missing() == 46 - first.rows
    assert second.compute(store) == second.rows


def test_a_shard_refuses_other_weights(tiny: Recipe, phantoms: Path) -> None:
    shard = next(frozen(tiny, phantoms).shards(16))
    other = replace(shard, recipe=replace(tiny, seed=5), space="0" * 32)
    with pytest.raises(InputError, match="other weights for cytolens_tiny"):
        other.compute(Store())


@pytest.mark.usefixtures("no_report")
def test_the_local_engine_fills_the_store_for_a_run(
    tiny: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    found = extract_features(tiny, manifest)
    assert (found.computed, found.reused, found.shards) == (36, 0, 0)
    assert extract_features(tiny, manifest).reused == 36
    run = run_recipe(tiny, manifest, tmp_path / "run")
    assert '"computed": 0' in (run / "folds.json").read_text()


def test_images_in_archives_are_not_for_a_cluster(tiny_run: Path) -> None:
    class NoCluster(ray_cluster.RayCluster):
        """Must not be asked anything."""

        def __init__(self) -> None:
            pass

    item = Item("a.zip/one.png", lambda: np.zeros((8, 8, 3), np.uint8), stamp="8-0")
    with pytest.raises(InputError, match=r"1 images lie inside archives(.|\n)*a.zip/one.png"):
        check_prediction(NoCluster(), load_bundle(tiny_run), [item])


@pytest.mark.parametrize(
    ("address", "why"),
    [("127.0.0.1:1", "refused"), ("nonsense", "not of the form host:port"), (":", "not of the")],
)
def test_an_address_where_nobody_is_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, address: str, why: str
) -> None:
    class Ray:
        """Ray, not connected yet."""

        is_initialized = staticmethod(bool)

    monkeypatch.setattr(ray_cluster, "load_ray", Ray)
    with pytest.raises(InputError, match=f"No Ray cluster answers at {address}: .*{why}") as said:
        Where("ray", address).join()
    assert "ray start --head" in str(said.value)


def test_a_task_takes_a_core_at_least() -> None:
    with pytest.raises(InputError, match="--ray-threads 0 is less than 1"):
        Where("ray", None, 0).join()
