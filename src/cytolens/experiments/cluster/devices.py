"""Folds of a run that several devices learn together, one fold after the other.

The processes are started here, or by torchrun; then the first of them makes the run.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cytolens.core import profile
from cytolens.core.errors import CytolensError, InputError
from cytolens.experiments.cluster.executor import Executor
from cytolens.experiments.cluster.folds import Sent, fold_work, send
from cytolens.experiments.cluster.local import LocalProcesses
from cytolens.experiments.fold_work import FoldWork
from cytolens.experiments.recipe import Recipe
from cytolens.training.ranks import Ranks, started_by_torchrun

_LAST_WORDS = 10.0  # seconds that a process has to say why it failed, when another one has failed


def learn_together(devices: int, work: FoldWork) -> list[str]:
    """Learn what is open of a run, every fold by all devices; return notes.

    A process a device, all started here or all by torchrun, takes its share of each batch
    (`training.ranks`). A fold that was cut off goes on from its last checkpoint, on any number of
    devices.

    Raises:
        InputError: devices that are not there, a regime that cannot be shared, or what a fold
            stumbled over.
        TaskLost: a process was ended from outside; what is finished stays.
    """
    setting, numbers, ours = work.setting, work.unfinished(), profile.active()
    check(devices, setting.recipe)
    if started_by_torchrun() is not None:
        with Ranks.meet(None, 0, devices) as ranks, setting.clock.stage("learn together"):
            ranks.same((send(work), numbers))
            _learn(work, numbers, ranks)
        return [_note(devices, "processes started by torchrun")]
    kind = "GPUs" if torch.cuda.is_available() else "processes of this machine"
    with tempfile.TemporaryDirectory() as scratch, setting.clock.stage("learn together"):
        meeting = Path(scratch) / "meeting"
        sent = send(work)
        with (
            LocalProcesses(devices) as executor,
            setting.progress.task(f"folds, on {devices} {kind}", len(numbers)) as step,
        ):
            under_way: set[Hashable] = {
                executor.submit(_learn_as, sent, numbers, meeting, rank, devices)
                for rank in range(devices)
            }
            left = len(numbers)
            while under_way:
                for ticket in executor.wait(under_way, 1.0):
                    content = _result(executor, ticket, under_way)
                    if content is not None and ours is not None:
                        ours.add(content)
                    under_way.discard(ticket)
                while left > len(work.unfinished()):
                    left -= 1
                    step()
    return [_note(devices, kind)]


def learn_along() -> None:
    """Learn as another process than the first that torchrun started, until the run is learned.

    Raises:
        InputError: what a fold stumbled over, or other weights than those of the first process.
    """
    launched = started_by_torchrun()
    assert launched is not None, "asked of torchrun's processes alone"
    with Ranks.meet(None, *launched) as ranks:
        sent, numbers = ranks.same((None, ()))
        assert sent is not None, "the first process sends it"
        _learn(fold_work(sent), numbers, ranks)


def _result(executor: Executor, ticket: Hashable, under_way: set[Hashable]) -> Any:
    """Return what a process returned; of several that failed raise what says why.

    When one stumbles, the others fail by the connection that it left.
    """
    try:
        return executor.result(ticket)
    except CytolensError:
        raise
    except Exception:
        executor.wait(under_way - {ticket}, _LAST_WORDS)
        for other in executor.wait(under_way - {ticket}, 0):
            with contextlib.suppress(RuntimeError):
                executor.result(other)  # raises what it stumbled over
        raise


def _note(devices: int, kind: str) -> str:
    return f"each fold learned by {devices} {kind} together; last digits differ from one alone"


def check(devices: int, recipe: Recipe) -> None:
    """Refuse what cannot be shared, before a process is started.

    Raises:
        InputError: see `learn_together`.
    """
    if recipe.classifier.used or recipe.training.regime == "contrastive":
        what = "a classifier" if recipe.classifier.used else "the contrastive regime"
        raise InputError(
            f"{what.capitalize()} is not trained on several devices.",
            expected="regime finetune or cost_sensitive, whose batches can be shared out "
            "(pairs are made within a whole batch)",
            fix="leave out --devices.",
        )
    if started_by_torchrun() is not None:
        return  # which knows how many there are
    on_gpu = torch.cuda.is_available()
    there = torch.cuda.device_count() if on_gpu else os.cpu_count() or 1
    if devices > there:
        raise InputError(
            f"This machine has {there} {'GPUs' if on_gpu else 'cores'}, not {devices}.",
            fix=f"pass --devices {there} or fewer.",
        )


def _learn_as(
    sent: Sent, numbers: Sequence[int], meeting: Path, rank: int, size: int
) -> dict[str, Any] | None:
    """Learn folds as one of several processes; return what a profile holds, if wanted."""
    with profile.profiling(sent.profiled) as measured, Ranks.meet(meeting, rank, size) as ranks:
        _learn(fold_work(sent), numbers, ranks)
        return measured.content() if measured else None


def _learn(work: FoldWork, numbers: Sequence[int], ranks: Ranks) -> None:
    together = FoldWork(work.learner, replace(work.setting, ranks=ranks))
    for number in numbers:
        together.learn_one(number, wait=True)
