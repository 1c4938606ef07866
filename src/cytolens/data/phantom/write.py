"""Phantom sets on disk: a folder that is either whole or not there."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core import config as configs
from cytolens.core.errors import CytolensError, InputError
from cytolens.core.files import lock, read_json, write_json, write_text, writing
from cytolens.data.phantom.config import PhantomConfig
from cytolens.data.phantom.generate import PhantomImage, generate_one
from cytolens.data.phantom.kind import BASE_SIZE
from cytolens.data.phantom.kinds import KINDS

VERSION = 1  # of the painters; raise it whenever the same settings give other images

_CHUNK = 25  # images a task
_POOL_FROM = 150  # images; below, starting processes costs more than it saves
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 2)

Row = dict[str, str | float]
Progress = Callable[[int, int], None]


def write_phantoms(
    config: PhantomConfig,
    folder: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the set and return the path of its `manifest.csv`.

    The folder gets `images/<label>/<id>.png`, `masks/<label>/<id>.png`, `manifest.csv` and
    `phantom.json` (the settings, to repeat it). It is made beside its place as
    `<folder>.partial`, the manifest last, and renamed when whole. A set of the same settings
    that is already there is left as it is.

    Args:
        workers: processes; None takes one a core, at most 8, and none for a small set.
        progress: called with (images written, images in all) in this process.

    Raises:
        InputError: the folder holds something else, or cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    if _is_there(config, folder):
        return folder / "manifest.csv"
    partial = folder.with_name(folder.name + ".partial")
    with writing(folder, "phantoms"):
        _prepare(config, partial)
        key = partial / ".lock"
        with lock(key, f"Another process is writing phantoms to {folder}."):
            write_json(partial / "phantom.json", _card(config))
            for label in KINDS.get(config.tissue).classes:
                (partial / "images" / label).mkdir(parents=True, exist_ok=True)
                (partial / "masks" / label).mkdir(parents=True, exist_ok=True)
            rows = _write_images(config, partial, _count(config, workers), progress)
            write_text(partial / "manifest.csv", _table(rows))
            key.unlink()
            partial.replace(folder)
    return folder / "manifest.csv"


def _card(config: PhantomConfig) -> dict[str, Any]:
    return {"version": VERSION, "config": configs.to_dict(config)}


def _is_there(config: PhantomConfig, folder: Path) -> bool:
    """Say whether the set stands in `folder`; refuse a folder that holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    card = folder / "phantom.json"
    if folder.is_dir() and card.is_file() and (folder / "manifest.csv").is_file():
        if read_json(card, "description of phantoms") == _card(config):
            return True
        raise InputError(
            f"{folder} holds phantoms of other settings.",
            fix="choose another folder, or remove that one.",
        )
    raise InputError(
        f"{folder} is not empty, and what it holds are not phantoms.",
        fix="choose a new or empty folder.",
    )


def _prepare(config: PhantomConfig, partial: Path) -> None:
    """Make the partial folder; clear one that was cut off with other settings."""
    card = partial / "phantom.json"
    if partial.exists() and any(p.name != ".lock" for p in partial.iterdir()):
        if not card.is_file():
            raise InputError(
                f"{partial} is in the way, and what it holds are not phantoms.",
                fix="remove or rename it.",
            )
        if read_json(card, "description of phantoms") != _card(config):
            with lock(partial / ".lock", f"Another process is writing phantoms to {partial}."):
                shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)


def _count(config: PhantomConfig, workers: int | None) -> int:
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(cores or 1, 8) if config.images >= _POOL_FROM else 1
    if workers < 1:
        raise InputError(f"workers must be 1 or more, not {workers}.")
    return workers


def _write_images(
    config: PhantomConfig, partial: Path, workers: int, progress: Progress | None
) -> list[Row]:
    """Generate and write every image; return the manifest's rows in the order of the images."""
    tasks = [range(i, min(i + _CHUNK, config.images)) for i in range(0, config.images, _CHUNK)]
    rows: dict[int, Row] = {}
    with closing(_finished(config, partial, tasks, min(workers, len(tasks)))) as parts:
        for part in parts:
            rows |= part
            if progress is not None:
                progress(len(rows), config.images)
    return [rows[i] for i in range(config.images)]


def _finished(
    config: PhantomConfig, partial: Path, tasks: list[range], workers: int
) -> Generator[dict[int, Row], None, None]:
    """Yield the rows of each task as it is done."""
    if workers == 1:
        for task in tasks:
            yield _write_chunk(config, partial, task)
        return
    with _pool(workers) as pool:
        waiting: set[Future[dict[int, Row]]] = {
            pool.submit(_write_chunk, config, partial, task) for task in tasks
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes; an error ends it without finishing what still waits."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise CytolensError(
            "A process that draws phantoms ended unexpectedly (out of memory, or the program was "
            "started from a place that processes cannot import).\nWay out: use workers=1."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Use one thread a process, and end with the parent, even if that was killed."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _write_chunk(config: PhantomConfig, folder: Path, indices: range) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    for index in indices:
        phantom = generate_one(config, index)
        name = f"{phantom.label}/{phantom.id}.png"
        _write_png(folder / "images" / name, phantom.image[..., ::-1])
        _write_png(folder / "masks" / name, phantom.mask)
        rows[index] = _row(config, phantom, name)
    return rows


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 [H, W] or [H, W, 3] (B, G, R) as PNG; only the manifest marks a whole set."""
    done, content = cv2.imencode(".png", np.ascontiguousarray(pixels), _PNG)
    assert done, "a uint8 image can be encoded"
    path.write_bytes(content.tobytes())


def _row(config: PhantomConfig, phantom: PhantomImage, name: str) -> Row:
    row: Row = {
        "image": f"images/{name}",
        "label": phantom.label,
        "group": phantom.patient,
        "dataset": phantom.site,
        "mask": f"masks/{name}",
        "um_per_px": round(KINDS.get(config.tissue).um_per_px * BASE_SIZE / config.size, 4),
    }
    return row | {key: round(value, 4) for key, value in phantom.truth.items()}


def _table(rows: list[Row]) -> str:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
