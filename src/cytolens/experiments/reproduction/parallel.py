"""Runs in several processes, each with its share of the cores.

A network that is trained above a cut works on maps so small that a second thread is half idle:
two processes of one thread train the upper part of MobileNetV2 at 110 px 1.5 times as fast as one
process of two.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest
from cytolens.experiments.recipe import Recipe

_MOST = 8  # processes, each with a network and its features in memory


@dataclass(frozen=True)
class Job:
    """A run to make: its recipe and its folder."""

    recipe: Recipe
    out: Path


def choose_jobs(wanted: int, cells: int) -> int:
    """Return the number of processes: as wanted, or (0) one a core where no GPU does the work.

    Raises:
        InputError: a negative number.
    """
    if wanted < 0:
        raise InputError(f"--jobs {wanted} is negative.", expected="0 (one a core), 1, 2, …")
    if wanted == 0:
        import torch

        wanted = 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, _MOST)
    return max(1, min(wanted, cells))


def run_jobs(
    jobs: Sequence[Job],
    manifest: Manifest,
    processes: int,
    done: Callable[[Job, str | None], None],
) -> None:
    """Make the runs, the longest first.

    An interrupt, or anything but an `InputError` in a run, ends all processes at once; the runs
    that they had begun go on when the same call is repeated.

    Args:
        done: told of each job that ended, with the message of its `InputError` or None.

    Raises:
        InputError: a process was ended from outside.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, context, _start, (threads,))
    try:
        ordered = sorted(jobs, key=lambda job: -effort(job.recipe))
        waiting = {pool.submit(_make, job, manifest): job for job in ordered}
        for future in as_completed(waiting):
            done(waiting[future], future.result())
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise InputError(
                "A process that made runs was ended from outside; often the memory is used up.",
                fix="repeat the call with --jobs 1, or with fewer than now: finished runs stay.",
            ) from error
        raise
    pool.shutdown()


def effort(recipe: Recipe) -> float:
    """Return about how long a run takes, in passes over the data above the cut."""
    if recipe.classifier.used or recipe.model.freeze == "all":
        return 0.0
    folds = recipe.split.folds * recipe.split.repeats if recipe.split.kind == "kfold" else 1
    contrastive = recipe.training.regime == "contrastive"
    return folds * (2 * recipe.contrastive.epochs if contrastive else recipe.training.epochs)


def _start(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave with the process that started this one, which may have been killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _make(job: Job, manifest: Manifest) -> str | None:
    from cytolens.experiments.run import run_recipe

    try:
        run_recipe(job.recipe, manifest, job.out)
    except InputError as error:
        return str(error)
    return None
