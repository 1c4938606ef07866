"""A real Ray cluster of two nodes: the numbers of one process, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cytolens.bundle import load_bundle
from cytolens.bundle.inputs import open_inputs
from cytolens.bundle.stream import predict_items
from cytolens.core.errors import InputError
from cytolens.core.files import read_json
from cytolens.data.loading import read_manifest
from cytolens.experiments.cluster import prediction, ray_cluster
from cytolens.experiments.cluster.executor import TaskLost
from cytolens.experiments.cluster.prediction import Model, check_prediction, predict_on
from cytolens.experiments.cluster.ray_cluster import load_ray
from cytolens.experiments.cluster.where import Where
from cytolens.experiments.extracting import extract_features
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.reproduce import reproduce
from cytolens.experiments.run import run_recipe

pytestmark = [
    # Ray leaves files and sockets of ended processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("no_report"),
]
FOLDS, VIEWS, IMAGES = 4, 2, 36


@pytest.fixture(scope="session")
def cluster_address() -> Iterator[str]:
    """Start two nodes of one core each in this machine."""
    load_ray()
    import ray
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else workers stand back behind other work
        cluster = Cluster(initialize_head=True, head_node_args=small)
        cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    yield cluster.address
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def joined(cluster_address: str) -> Any:
    """Stay in the cluster, so that its workers stay warm from test to test."""
    import ray

    ray.init(address=cluster_address, log_to_driver=False, logging_level="ERROR")
    return ray


@pytest.fixture
def there(joined: Any, cluster_address: str) -> Where:
    del joined
    return Where("ray", cluster_address)


@pytest.fixture
def recipe(own_cache: Path) -> Recipe:
    del own_cache
    settings = [
        "model.backbone=cytolens_tiny",
        "model.weights=random",
        "pixels.size=32",
        "augment.horizontal_flip=true",
        f"split.folds={FOLDS}",
        "split.validation=0.2",
        f"training.views={VIEWS}",
        "training.epochs=2",
        "evaluation.resamples=20",
    ]
    return load_recipe("frozen", settings)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as a task has; another number takes sums in another order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Give what follows a cache of its own."""
    monkeypatch.setenv("CYTOLENS_CACHE", str(tmp_path / name))


def test_there_are_two_nodes(there: Where) -> None:
    with there.join() as cluster:
        assert (len(cluster.nodes()), cluster.slots, cluster.threads) == (2, 2, 1)
        assert cluster.said == "Ray: 2 nodes, 2 tasks at a time, 1 thread each"
        pids = cluster.on_each_node(os.getpid)
    assert len(pids) == 2 and len({*pids.values(), os.getpid()}) == 3


@pytest.mark.usefixtures("one_thread")
def test_a_run_on_the_cluster_is_the_local_one_to_the_byte(
    there: Where,
    recipe: Recipe,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = read_manifest(phantoms)
    alone = run_recipe(recipe, manifest, tmp_path / "alone")
    elsewhere(monkeypatch, tmp_path, "cache of the cluster")
    far = run_recipe(recipe, manifest, tmp_path / "far", where=there, profiled=True)
    for same in ("predictions.parquet", "metrics.json", "split.json", "doubt.json"):
        assert (alone / same).exists() == (far / same).exists()
        if (far / same).exists():
            assert (alone / same).read_bytes() == (far / same).read_bytes(), same
    assert {path.name for path in far.iterdir()} - {path.name for path in alone.iterdir()} == {
        "profile.json"
    }
    # Every row once, before any fold asked for it.
    folds = read_json(far / "folds.json", "folds")
    assert [fold["features"]["computed"] for fold in folds] == [0] * FOLDS
    rows = IMAGES * (1 + VIEWS)
    notes = read_json(far / "environment.json", "environment")["notes"]
    assert any(f"features of {rows} images and views computed beforehand in 4" in n for n in notes)
    assert any("folds learned on Ray: 2 nodes" in note for note in notes)
    local = read_json(alone / "folds.json", "folds")
    assert sum(fold["features"]["computed"] for fold in local) == rows
    profile = read_json(far / "profile.json", "profile")
    assert profile["elsewhere"]["tasks"] == FOLDS
    stages = {stage["name"]: stage["calls"] for stage in profile["elsewhere"]["stages"]}
    assert stages["train"] == FOLDS


def test_features_are_computed_once_and_found_by_everybody(
    there: Where, recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    rows = IMAGES * (1 + VIEWS)
    first = extract_features(recipe, manifest, where=there)
    assert (first.computed, first.reused, first.shards) == (rows, 0, 4)
    again = extract_features(recipe, manifest, where=there)
    assert (again.computed, again.reused, again.shards) == (0, rows, 0)
    assert extract_features(recipe, manifest).computed == 0, "neither does this process"
    run = run_recipe(recipe, manifest, tmp_path / "run")
    counts = [fold["features"]["computed"] for fold in read_json(run / "folds.json", "folds")]
    assert counts == [0] * FOLDS
    assert not list((tmp_path / "cache").glob("features-*")), "no scratch is left"


def test_handcrafted_features_are_cut_into_shards_too(
    there: Where, phantoms: Path, own_cache: Path
) -> None:
    del own_cache
    recipe = load_recipe("colour_histogram", ["pixels.size=32", "evaluation.resamples=20"])
    manifest = read_manifest(phantoms)
    found = extract_features(recipe, manifest, where=there)
    assert (found.computed, found.shards) == (IMAGES, 2)
    assert extract_features(recipe, manifest).computed == 0


def holder(path: Path) -> int | None:
    """Return the process that holds the lock of a file (`man 5 proc`), if there is one."""
    if not path.exists():
        return None
    inode = str(path.stat().st_ino)
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].split(":")[-1] == inode:
            return int(fields[4])
    return None


@pytest.mark.usefixtures("one_thread")
def test_a_worker_that_is_killed_costs_its_fold_alone(
    there: Where,
    recipe: Recipe,
    phantoms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kill comes in the middle of a fold: its lock is held and its result is not written.

    However fast the fold is: its worker is stopped first, and killed if it was caught in time.
    """
    manifest = read_manifest(phantoms)
    recipe = replace(recipe, training=replace(recipe.training, epochs=150))
    alone = run_recipe(recipe, manifest, tmp_path / "alone")
    elsewhere(monkeypatch, tmp_path, "cache of the cluster")
    out = tmp_path / "far"
    partial = tmp_path / "far.partial"
    made: list[Path] = []
    maker = threading.Thread(
        target=lambda: made.append(run_recipe(recipe, manifest, out, where=there))
    )
    maker.start()
    killed: list[int] = []
    end = time.monotonic() + 200
    while not killed and time.monotonic() < end and maker.is_alive():
        for fold in range(FOLDS):
            lock, result = partial / "locks" / f"r0-f{fold}", partial / "folds" / f"r0-f{fold}.json"
            if result.exists() or (pid := holder(lock)) is None:
                continue
            os.kill(pid, signal.SIGSTOP)
            if holder(lock) == pid and not result.exists():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                break
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.002)
    maker.join(200)
    assert killed and killed[0] != os.getpid()
    assert made == [out]
    for same in ("predictions.parquet", "metrics.json"):
        assert (alone / same).read_bytes() == (out / same).read_bytes()


def test_more_cores_than_any_node_has_are_refused(there: Where) -> None:
    with pytest.raises(InputError, match="No node of the cluster has 2 cores"):
        replace(there, threads=2).join()


def test_a_task_that_ends_every_worker_is_given_up(
    there: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "TRIES_AGAIN", 1)
    with there.join() as cluster:
        ticket = cluster.submit(os._exit, 9)
        assert cluster.wait([ticket], 200) == {ticket}
        with pytest.raises(TaskLost, match=r"lost with its worker 2 times(.|\n)*finished stays"):
            cluster.result(ticket)
        after = cluster.submit(os.getpid)
        cluster.wait([after])
        assert cluster.result(after) != os.getpid(), "the cluster goes on"


def test_what_a_fold_stumbles_over_is_said_as_it_is_locally(
    there: Where, recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(phantoms)
    recipe = replace(recipe, training=replace(recipe.training, lr=1e38))
    with pytest.raises(InputError, match="loss became (nan|inf) in epoch 1") as there_said:
        run_recipe(recipe, manifest, tmp_path / "far", where=there)
    assert there_said.value.exit_code == 1
    assert not (tmp_path / "far").exists()


def test_nodes_that_do_not_see_the_data_are_refused(
    there: Where, recipe: Recipe, phantoms: Path, tmp_path: Path
) -> None:
    """A path through an open file of this process leads nowhere in any other."""
    handle = os.open(phantoms, os.O_RDONLY)
    try:
        known, here = read_manifest(phantoms), Path(f"/proc/self/fd/{handle}")
        rows = [replace(row, image=here / row.image.relative_to(phantoms)) for row in known.rows]
        manifest = known.with_rows(rows)
        with pytest.raises(InputError) as refused:
            run_recipe(recipe, manifest, tmp_path / "run", where=there)
    finally:
        os.close(handle)
    said = str(refused.value)
    assert said.startswith("2 of 2 nodes of the cluster cannot do this work.")
    assert said.count(f": does not see /proc/self/fd/{handle}/") == 2
    assert "Way out: give all nodes the data, the run folder and CYTOLENS_CACHE" in said
    assert [path.name for path in tmp_path.iterdir() if "probe" in path.name] == []


def test_predictions_come_in_order_and_with_the_local_digits(
    there: Where, tiny_run: Path, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "_BATCHES", 1)
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"not an image")
    items = list(open_inputs([phantoms / "images", damaged, tmp_path / "absent.png"]))
    assert len(items) == IMAGES + 2
    bundle = load_bundle(tiny_run)
    local = [done.row for done in predict_items(bundle, items)]
    with there.join() as cluster:
        check_prediction(cluster, bundle, items)
        far = list(predict_on(cluster, Model((tiny_run,)), items))
    assert [done.item for done in far] == items
    assert [done.row for done in far] == local
    assert [bool(row["problem"]) for row in local] == [False] * IMAGES + [True, True]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_cells_of_a_study_are_tasks(
    there: Where, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest(phantoms)
    studies = {}
    for name, where in (("alone", Where()), ("far", there)):
        elsewhere(monkeypatch, tmp_path, f"cache {name}")
        studies[name] = reproduce(
            "contrastive2023",
            manifest,
            tmp_path / name,
            protocol="honest",
            only=["finetune", "contrastive"],
            quick=True,
            settings=("pixels.size=32", "evaluation.resamples=20"),
            ledger=False,
            where=where,
        )
    one, two = (read_json(folder / "study.json", "study") for folder in studies.values())
    runs = [cell["run"] for cell in one["cells"] if cell["run"]]
    assert len(runs) == 2 and [cell["run"] for cell in two["cells"] if cell["run"]] == runs
    for run in runs:
        first, second = (folder / run / "predictions.parquet" for folder in studies.values())
        assert first.read_bytes() == second.read_bytes()
    assert two["features"] == one["features"], "computed once, whoever came first"
