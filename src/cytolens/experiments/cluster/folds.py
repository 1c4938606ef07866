"""The folds of a run as tasks of a cluster."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cytolens.core import profile
from cytolens.core.errors import InputError
from cytolens.core.progress import Silent
from cytolens.experiments.cluster.executor import Executor
from cytolens.experiments.cluster.extraction import extract
from cytolens.experiments.cluster.probe import check_nodes
from cytolens.experiments.cluster.ray_cluster import RayCluster
from cytolens.experiments.cluster.where import Where
from cytolens.experiments.environment import Clock
from cytolens.experiments.fold_work import FoldWork
from cytolens.experiments.folder import Workplace
from cytolens.experiments.learning.choose import create_learner
from cytolens.experiments.learning.learner import Setting
from cytolens.experiments.preparation import Prepared
from cytolens.experiments.recipe import Recipe
from cytolens.features.store import Store


@dataclass(frozen=True)
class Sent:
    """What a worker needs to learn any fold of a run; kept once a node.

    Attributes:
        data: as the run prepared them, without what only an audit looks at.
        identity: of the run's learner.
        place: of the run.
        profiled: whether the worker measures where its time goes.
    """

    recipe: Recipe
    data: Prepared
    identity: str
    place: Path
    profiled: bool


def learn_on(where: Where, work: FoldWork) -> list[str]:
    """Compute the features on a cluster, then learn the folds there; return notes.

    A worker that is lost costs its fold, which is learned again elsewhere.

    Raises:
        InputError: no such cluster, nodes that cannot do the work, or what a fold stumbled over.
        TaskLost: a task was lost more often than it is tried; what is finished stays.
    """
    setting = work.setting
    with where.join() as cluster:
        check(cluster, work)
        with setting.clock.stage("extract features"):
            extracted = extract(work.frozen(), cluster, setting.progress)
        with setting.clock.stage("learn on the cluster"):
            _learn_folds(cluster, work)
        return [f"folds learned on {cluster.said}", extracted.said]


def check(cluster: RayCluster, work: FoldWork) -> None:
    """Refuse a cluster of which a node cannot do the work."""
    images = [row.image for row in work.setting.data.manifest.rows]
    check_nodes(cluster, images, [work.setting.place.path.parent])
    work.setting.progress.say(cluster.said)


def _learn_folds(executor: Executor, work: FoldWork) -> None:
    setting, numbers, ours = work.setting, work.unfinished(), profile.active()
    sent = executor.share(send(work))
    with setting.progress.task(f"folds, {executor.slots} at a time", len(numbers)) as step:
        under_way: set[Hashable] = {executor.submit(learn_fold, sent, n) for n in numbers}
        while under_way:
            for ticket in executor.wait(under_way):
                content = executor.result(ticket)
                if ours is not None and content is not None:
                    ours.add(content)
                under_way.discard(ticket)
                step()


def send(work: FoldWork) -> Sent:
    """Return what another process needs of a run, which may be profiled."""
    setting = work.setting
    return Sent(
        setting.recipe,
        _slim(setting.data),
        work.learner.identity,
        setting.place.out.absolute(),
        profile.active() is not None,
    )


def fold_work(sent: Sent) -> FoldWork:
    """Return the run's work in a process that was sent it.

    Raises:
        InputError: this process finds other weights.
    """
    learner = create_learner(sent.recipe, sent.data.manifest.classes)
    if learner.identity != sent.identity:
        raise InputError(
            "A node of the cluster has other weights than the machine that hands out the work.",
            fix="give all machines the same CYTOLENS_WEIGHTS.",
        )
    place = Workplace(sent.place)
    return FoldWork(learner, Setting(sent.recipe, sent.data, Store(), place, Silent(), Clock()))


def learn_fold(sent: Sent, number: int) -> dict[str, Any] | None:
    """Learn one fold in a worker, unless it is learned; return what a profile holds, if wanted.

    Raises:
        InputError: this machine has other weights, or the fold cannot be learned.
    """
    with profile.profiling(sent.profiled) as measured:
        fold_work(sent).learn_one(number, wait=True)
        return measured.content() if measured else None


def _slim(data: Prepared) -> Prepared:
    """Leave out thumbnails and audit: two thousand bytes an image."""
    facts = data.facts
    facts = replace(facts, thumbs=facts.thumbs[:0], bright=facts.bright[:0])
    return replace(data, facts=facts, audit={})
