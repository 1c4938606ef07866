"""A run that was cut off, at whatever moment, is resumed and ends with the same numbers."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cytolens.core.errors import InputError
from cytolens.core.files import lock
from cytolens.data.loading import read_manifest
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import Recipe, load_recipe
from cytolens.experiments.run import run_recipe
from cytolens.training import checkpoint, loop

SETTINGS = (
    "features.engine=torch",
    "model.freeze=0.5",
    "augment.rotation=20.0",
    "training.views=2",
    "training.epochs=3",
    "bundle.exports=[]",
)
EQUAL = ("metrics.json", "predictions.parquet", "split.json", "bundle/model.safetensors")


@pytest.fixture
def recipe(tiny_toml: Path) -> Recipe:
    return load_recipe(tiny_toml, SETTINGS)


@pytest.fixture
def manifest(phantoms: Path) -> Manifest:
    return read_manifest(phantoms)


@pytest.fixture(scope="module")
def whole(phantoms: Path, tiny_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CYTOLENS_CACHE", str(folder / "cache"))
        patch.setattr("cytolens.experiments.run.write_run_report", lambda _: None)
        recipe = load_recipe(tiny_toml, SETTINGS)
        return run_recipe(recipe, read_manifest(phantoms), folder / "run")


def _history(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def _check_equal(run: Path, whole: Path) -> None:
    for name in EQUAL:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert _history(run) == _history(whole)
    inside = {p.relative_to(whole) for p in whole.rglob("*")}
    assert {p.relative_to(run) for p in run.rglob("*")} - inside <= {Path("report.html")}
    names = {path.name for path in run.parent.iterdir()}
    assert not any(name.endswith((".partial", ".lock", ".tmp")) for name in names), names


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("no_report")
def test_killed_interrupted_and_killed_again(
    recipe: Recipe, phantoms: Path, tiny_toml: Path, tmp_path: Path, whole: Path
) -> None:
    out = tmp_path / "run"
    partial = tmp_path / "run.partial"
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    script = str(Path(__file__).with_name("slow_run.py"))
    command = [sys.executable, script, "run", str(tiny_toml), "--data", str(phantoms)]

    def start(hold: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        full = [*command, "--out", str(out), *settings]
        place = os.environ | {"HOLD": hold}
        return subprocess.Popen(full, stdout=pipe, stderr=pipe, text=True, env=place)

    def kill(process: subprocess.Popen[str]) -> None:
        process.kill()
        process.communicate()
        assert partial.is_dir() and not out.exists()

    process = start("fold 0")  # killed in the middle of training the first fold
    _wait_for(partial / "folds" / "r0-f0.checkpoint", process)
    with pytest.raises(InputError) as caught:
        run_recipe(recipe, read_manifest(phantoms), out)
    assert str(caught.value) == (
        f"Another process is working on {out}.\n"
        "Way out: wait for it to end, or choose another place."
    )
    kill(process)

    process = start("fold 1")  # interrupted after the first fold
    _wait_for(partial / "folds" / "r0-f1.checkpoint", process)
    assert (partial / "folds" / "r0-f0.json").is_file()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("Interrupted. The same command goes on where this one stopped.\n")
    assert "Traceback" not in errors and not (tmp_path / ".run.lock").exists()

    process = start("report")  # killed while the folder is written
    _wait_for(partial / "environment.json", process)
    kill(process)

    (partial / ".metrics.json.x1y2.tmp").write_text("what a write that was killed leaves")
    _check_equal(run_recipe(recipe, read_manifest(phantoms), out), whole)


class _Cut:
    """Interrupts at the n-th finished epoch (counted over all folds), once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.epochs = 0
        self._after = after
        monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
        monkeypatch.setattr(loop.Trainer, "epoch", self._epoch(loop.Trainer.epoch))

    def _epoch(self, real: Callable[..., None]) -> Callable[..., None]:
        def epoch(trainer: loop.Trainer, number: int) -> None:
            if self.epochs == self._after:
                self._after = -1
                raise KeyboardInterrupt
            self.epochs += 1
            real(trainer, number)

        return epoch


@pytest.mark.usefixtures("no_report")
def test_no_epoch_is_trained_twice(
    recipe: Recipe,
    manifest: Manifest,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut = _Cut(monkeypatch, after=5)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, manifest, tmp_path / "run")
    assert cut.epochs == 5
    _check_equal(run_recipe(recipe, manifest, tmp_path / "run"), whole)
    assert cut.epochs == 6


@pytest.fixture
def unfinished(
    recipe: Recipe, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run with one finished fold."""
    with monkeypatch.context() as patch:
        _Cut(patch, after=4)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, manifest, tmp_path / "run")
    return tmp_path / "run"


def _refusal(recipe: Recipe, manifest: Manifest, out: Path, **options: bool) -> str:
    with pytest.raises(InputError) as caught:
        run_recipe(recipe, manifest, out, **options)
    return str(caught.value)


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_unfinished_run_goes_on_with_nothing_else(
    recipe: Recipe, manifest: Manifest, unfinished: Path
) -> None:
    partial = unfinished.with_name("run.partial")
    before = _snapshot(partial)
    fix = "Way out: finish it with its own command, remove that folder, or choose another --out."
    text = f"{partial} holds an unfinished run with another {{}}.\n{fix}"
    longer = replace(recipe, training=replace(recipe.training, epochs=9))
    assert _refusal(longer, manifest, unfinished) == text.format("recipe")
    first, *rest = manifest.rows
    for other in (
        manifest.select(range(1, len(manifest))),
        manifest.with_rows([replace(first, label=manifest.classes[-2]), *rest]),
        manifest.with_rows([replace(first, group="patient_000"), *rest]),
    ):
        assert _refusal(recipe, other, unfinished) == text.format("data")
    both = text.format("recipe and data")
    assert _refusal(longer, manifest.select(range(30)), unfinished) == both
    assert _snapshot(partial) == before, "a refusal changes nothing"
    moved = [replace(row, image=_linked(row.image, unfinished)) for row in manifest.rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cytolens.experiments.run.write_run_report", lambda _: None)
        run_recipe(recipe, manifest.with_rows(moved), unfinished)  # elsewhere, but the same


def _linked(image: Path, beside: Path) -> Path:
    target = beside.with_name("moved") / image.name
    target.parent.mkdir(exist_ok=True)
    target.hardlink_to(image)
    return target


def test_a_finished_run_is_replaced_only_when_told_and_only_by_a_whole_one(
    recipe: Recipe, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytolens.experiments.run.write_run_report", lambda _: None)
    out = run_recipe(recipe, manifest, tmp_path / "run")
    before = _snapshot(out)
    assert _refusal(recipe, manifest, out) == (
        f"{out} already holds a finished run.\nWay out: choose another --out, or pass --overwrite."
    )
    broken = replace(recipe, model=replace(recipe.model, head="none"))
    _refusal(broken, manifest, out, overwrite=True)
    assert _snapshot(out) == before, "the old run stays until the new one is whole"
    run_recipe(replace(recipe, seed=1), manifest, out, overwrite=True)
    assert "seed = 1" in (out / "recipe.toml").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "cache"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["run", "run.partial"])
def test_a_foreign_folder_is_never_touched(
    recipe: Recipe, manifest: Manifest, tmp_path: Path, overwrite: bool, name: str
) -> None:
    foreign = tmp_path / name
    foreign.mkdir()
    (foreign / "metrics.json").write_text("{}")
    message = _refusal(recipe, manifest, tmp_path / "run", overwrite=overwrite)
    what = {
        "run": "holds something else than a run; it is not overwritten.",
        "run.partial": "is in the way, and it is not an unfinished run.",
    }
    assert message.startswith(f"{foreign} {what[name]}\n")
    assert [p.name for p in foreign.iterdir()] == ["metrics.json"]


def test_an_empty_folder_may_be_used(
    recipe: Recipe, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytolens.experiments.run.write_run_report", lambda _: None)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    run = run_recipe(recipe, manifest, Path("."))
    assert run == tmp_path / "empty" and (run / "metrics.json").is_file()


def test_a_lock_that_a_dead_process_left_is_no_obstacle(
    recipe: Recipe, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cytolens.experiments.run.write_run_report", lambda _: None)
    (tmp_path / ".run.lock").touch()
    with lock(tmp_path / ".run.lock", ""):
        assert _refusal(recipe, manifest, tmp_path / "run").startswith("Another process is working")
    run_recipe(recipe, manifest, tmp_path / "run")
    assert not (tmp_path / ".run.lock").exists()


class _Disk:
    """A disk that is full from the n-th whole file on (every writer syncs its file)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = 0
        self.room = 10_000
        real = os.fsync

        def fsync(handle: int) -> None:
            self.files += 1
            if self.files > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        monkeypatch.setattr("os.fsync", fsync)


@pytest.mark.usefixtures("no_report")
def test_a_disk_that_fills_up_at_any_moment(
    recipe: Recipe,
    manifest: Manifest,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_SECONDS", -1.0)
    disk = _Disk(monkeypatch)
    stopped = []
    for room in range(13):
        disk.files, disk.room = 0, room
        message = _refusal(recipe, manifest, tmp_path / "run")
        assert "the disk is full.\nWay out: free some space, or choose another place." in message
        stopped.append(message.partition(" at ")[0])
        assert not (tmp_path / "run").exists() and not (tmp_path / ".run.lock").exists()
    kinds = {"Cannot write the run", "Cannot write features", "Cannot write a checkpoint"}
    assert kinds | {"Cannot write the bundle"} == set(stopped)
    disk.room = 10_000
    _check_equal(run_recipe(recipe, manifest, tmp_path / "run"), whole)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (errno.EROFS, "the place is read-only.\nWay out: choose a folder that can be written."),
        (errno.EACCES, "permission is denied.\nWay out: choose a folder that can be written."),
    ],
)
def test_a_place_that_cannot_be_written(
    recipe: Recipe,
    manifest: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    why: str,
) -> None:
    real = os.mkdir

    def mkdir(path: str | Path, *rest: Any) -> None:
        if "locked" in str(path):
            raise OSError(code, os.strerror(code))
        real(path, *rest)

    monkeypatch.setattr("os.mkdir", mkdir)
    out = tmp_path / "locked" / "run"
    assert _refusal(recipe, manifest, out) == f"Cannot write the run at {out}: {why}"


def test_a_place_under_a_file(recipe: Recipe, manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "run", tmp_path / "file" / "deep" / "run"):
        assert _refusal(recipe, manifest, out) == (
            f"Cannot write the run at {out}: a part of the path is a file.\n"
            "Way out: choose another path."
        )
