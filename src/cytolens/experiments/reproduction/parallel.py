"""Runs in several processes, of this machine or of a cluster.

A process that finds no run to begin helps with the folds of one that is under way.

A network that is trained above a cut works on maps so small that a second thread is half idle:
two processes of one thread train the upper part of MobileNetV2 at 110 px 1.5 times as fast as one
process of two.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cytolens.core.errors import InputError
from cytolens.data.manifest import Manifest
from cytolens.experiments.cluster.executor import Executor, TaskLost
from cytolens.experiments.folder import Workplace
from cytolens.experiments.recipe import Recipe

_MOST = 8  # processes, each with a network and its features in memory
_LOOK = 1.0  # seconds between looks at who may help whom


@dataclass(frozen=True, eq=False)
class Job:
    """A run to make: its recipe and its folder."""

    recipe: Recipe
    out: Path


def choose_jobs(wanted: int, tasks: int) -> int:
    """Return the number of processes: as wanted, or (0) one a core where no GPU does the work.

    Args:
        tasks: what can be done at the same time.

    Raises:
        InputError: a negative number.
    """
    if wanted < 0:
        raise InputError(f"--jobs {wanted} is negative.", expected="0 (one a core), 1, 2, …")
    if wanted == 0:
        import torch

        wanted = 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, _MOST)
    return max(1, min(wanted, tasks))


def run_jobs(
    jobs: Sequence[Job],
    manifest: Manifest,
    executor: Executor,
    done: Callable[[Job, str | None], None],
) -> None:
    """Make the runs, the longest first, and the folds of the last ones together.

    An interrupt, or anything but an `InputError` in a run, ends all tasks at once; the runs that
    they had begun go on when the same call is repeated.

    Args:
        executor: does the tasks, and is closed afterwards.
        done: told of each job that ended, with the message of its `InputError` or None.

    Raises:
        TaskLost: a process was ended from outside, and the others with it.
    """
    with executor:
        images = executor.share(manifest)
        ordered = sorted(jobs, key=lambda job: -effort(job.recipe))
        making: dict[Hashable, Job] = {executor.submit(_make, j, images): j for j in ordered}
        helping: dict[Hashable, Job] = {}
        while making:
            for ticket in executor.wait([*making, *helping], _LOOK):
                outcome = _outcome(executor, ticket)
                if helping.pop(ticket, None) is None:
                    done(making.pop(ticket), outcome)
            idle = executor.slots - len(making) - len(helping)
            for job in _needy(making.values(), helping.values())[: max(0, idle)]:
                helping[executor.submit(_help, job, images)] = job


def _outcome(executor: Executor, ticket: Hashable) -> str | None:
    """Return the message of a task's `InputError`, if it had one."""
    try:
        message: str | None = executor.result(ticket)
    except TaskLost as error:
        if not executor.loses_one:
            raise
        return str(error)
    return message


def _needy(making: Iterable[Job], helping: Collection[Job]) -> list[Job]:
    """Return the runs with more folds left than processes at work on them, most of them first."""
    free = {
        job: Workplace(job.out).folds_left() - 1 - sum(other is job for other in helping)
        for job in making
        if effort(job.recipe)
    }
    return sorted((job for job in free if free[job] > 0), key=lambda job: -free[job])


def fold_count(recipe: Recipe) -> int:
    """Return the number of folds as far as the recipe tells, at least 1."""
    return recipe.split.folds * recipe.split.repeats if recipe.split.kind == "kfold" else 1


def effort(recipe: Recipe) -> float:
    """Return about how long a run takes, in passes over the data above the cut."""
    if recipe.classifier.used or recipe.model.freeze == "all":
        return 0.0
    epochs = recipe.training.epochs
    if recipe.training.regime == "contrastive":
        epochs = 2 * recipe.contrastive.epochs
    return fold_count(recipe) * epochs


def _make(job: Job, manifest: Manifest) -> str | None:
    from cytolens.experiments.run import run_recipe

    try:
        run_recipe(job.recipe, manifest, job.out)
    except InputError as error:
        return str(error)
    return None


def _help(job: Job, manifest: Manifest) -> None:
    from cytolens.experiments.run import help_run

    help_run(job.recipe, manifest, job.out)
