"""Run the cells of a study, each once: what is finished is kept, what was cut off goes on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cytolens.core.config import to_dict
from cytolens.core.errors import InputError
from cytolens.core.files import read_json, sha256_json, write_json, writing
from cytolens.core.progress import Progress
from cytolens.data.facts import scan_or_fail
from cytolens.data.manifest import Manifest
from cytolens.experiments.cluster.executor import Executor
from cytolens.experiments.cluster.local import LocalProcesses
from cytolens.experiments.cluster.probe import check_nodes
from cytolens.experiments.cluster.ray_cluster import RayCluster
from cytolens.experiments.cluster.where import HERE, Where
from cytolens.experiments.fuse import fuse_runs
from cytolens.experiments.identity import of_images, of_masks
from cytolens.experiments.papers.paper import Fusion
from cytolens.experiments.recipe import Recipe
from cytolens.experiments.reproduction.parallel import Job, choose_jobs, fold_count, run_jobs
from cytolens.experiments.reproduction.planning import Planned
from cytolens.experiments.run import run_recipe
from cytolens.models.backbones import canonical
from cytolens.models.weights import resolve_weights

_CELLS = "cells.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its run, or why there is none."""

    planned: Planned
    run: Path | None
    why_not: str | None


class Runs:
    """The runs of a study folder, and what each was made of.

    Args:
        folder: of the study.
        manifest: with its own labels; recipes harmonise them.
        overwrite: replace runs that were made of something else.

    Raises:
        InputError: the folder holds something else, or images that cannot be read.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, progress: Progress, *, overwrite: bool = False
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.progress = progress
        self.overwrite = overwrite
        known = folder / _CELLS
        if (
            folder.exists()
            and not known.exists()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise InputError(
                f"{folder} holds something else than a study.", fix="choose another --out."
            )
        self._known: dict[str, str] = read_json(known, "cells of a study") if known.exists() else {}
        with progress.task("looking at the images", len(manifest)) as step:
            facts = scan_or_fail(manifest, step=step)
        self._images = sha256_json(of_images(manifest, facts))
        self._masks = sha256_json(of_masks(manifest))
        self._weights: dict[tuple[str, str, int], str] = {}

    def check(self, planned: Sequence[Planned]) -> None:
        """Refuse to mix: runs that stand here must be made of the same recipes, data and weights.

        Raises:
            InputError: with all that are not, unless they are to be overwritten.
        """
        stale = [
            key
            for one in planned
            if one.recipe is not None
            and self._stands(key := cell_key(one))
            and self._known.get(key) != self.digest(one.recipe)
        ]
        if stale and not self.overwrite:
            raise InputError(
                f"{self.folder} holds runs of other settings, data or weights.",
                rows=stale,
                fix="choose another --out, or pass --overwrite to replace them.",
            )

    def run(self, planned: Planned) -> Outcome:
        """Run a cell, or keep its finished run. A mistake of one cell does not stop the others."""
        if planned.recipe is None:
            return Outcome(planned, None, planned.why_not)
        key = cell_key(planned)
        try:
            out = self.claim(key, self.digest(planned.recipe))
            if not (out / "metrics.json").exists():
                self.progress.say(key)
                run_recipe(planned.recipe, self.manifest, out, progress=self.progress)
        except InputError as error:
            self.progress.say(f"{key} did not run: {error}")
            return Outcome(planned, None, str(error))
        return Outcome(planned, out, None)

    def run_all(self, planned: Sequence[Planned], jobs: int, where: Where = HERE) -> list[Outcome]:
        """Run cells in so many processes, or on a cluster; the outcomes are in their order."""
        open_cells = [one for one in planned if one.recipe is not None and not self._done(one)]
        tasks = sum(fold_count(one.recipe) for one in open_cells if one.recipe)
        processes = choose_jobs(jobs, tasks)
        if not open_cells or (processes == 1 and not where.is_cluster):
            return [self.run(one) for one in planned]
        work: dict[Path, Job] = {}
        failed: dict[Path, str] = {}
        for one in open_cells:
            assert one.recipe is not None
            out = self.claim(cell_key(one), self.digest(one.recipe))
            work[out] = Job(one.recipe, out)
        executor: Executor = self._join(where) if where.is_cluster else LocalProcesses(processes)
        at_once = f"{len(work)} runs, {executor.slots} at a time"
        with self.progress.task(at_once, len(work)) as step:

            def done(job: Job, error: str | None) -> None:
                step()
                key = job.out.relative_to(self.folder).as_posix()
                self.progress.say(f"{key} did not run: {error}" if error else key)
                if error:
                    failed[job.out] = error

            run_jobs(list(work.values()), self.manifest, executor, done)
        return [
            Outcome(one, None, failed[place])
            if (place := self.folder / cell_key(one)) in failed
            else self.run(one)
            for one in planned
        ]

    def _join(self, where: Where) -> RayCluster:
        """Join a cluster whose nodes can do the work."""
        cluster = where.join()
        with ExitStack() as left:
            left.enter_context(cluster)
            check_nodes(cluster, [row.image for row in self.manifest.rows], [self.folder])
            self.progress.say(cluster.said)
            left.pop_all()
        return cluster

    def _done(self, planned: Planned) -> bool:
        """Whether the finished run of a cell stands in the folder."""
        assert planned.recipe is not None
        key = cell_key(planned)
        made_of = self._known.get(key)
        return (self.folder / key / "metrics.json").exists() and made_of == self.digest(
            planned.recipe
        )

    def fuse(self, fusion: Fusion, members: Sequence[Path], protocol: str) -> Path:
        """Make an ensemble of finished runs, or keep it.

        Raises:
            InputError: fewer than two members, or runs that differ in their images.
        """
        name = f"{protocol}/fusion-{fusion.name}"
        keys = [member.relative_to(self.folder).as_posix() for member in members]
        made_of = sha256_json([fusion.name, [[key, self._known[key]] for key in keys]])
        out = self.claim(name, made_of)
        if (out / "metrics.json").exists():
            return out
        return fuse_runs(members, fusion.name, out)

    def digest(self, recipe: Recipe) -> str:
        """Return what a run is made of, as one hash: recipe, data, weights."""
        masks = self._masks if recipe.classifier.sees_masks else None
        return sha256_json([to_dict(recipe), self._images, masks, self._weights_of(recipe)])

    def _weights_of(self, recipe: Recipe) -> str:
        if recipe.classifier.used and recipe.classifier.features != "deep":
            return "none"
        key = canonical(recipe.model.backbone), recipe.model.weights, recipe.seed
        if key not in self._weights:
            self._weights[key] = resolve_weights(*key).identity
        return self._weights[key]

    def claim(self, key: str, digest: str) -> Path:
        """Note what a folder of the study is made of, and return it.

        What stands there and was made of something else is removed first: it was to be
        overwritten (`check`), or follows from runs that were.
        """
        place = self.folder / key
        if self._known.get(key) != digest:
            for old in (place, place.with_name(place.name + ".partial")):
                shutil.rmtree(old, ignore_errors=True)
            self._known[key] = digest
            with writing(self.folder, "the study"):
                write_json(self.folder / _CELLS, self._known)
        return place

    def _stands(self, key: str) -> bool:
        place = self.folder / key
        return place.exists() or place.with_name(place.name + ".partial").exists()


def cell_key(planned: Planned) -> str:
    """Return the folder of a cell within the study."""
    return f"{planned.cell.protocol}/{planned.cell.name}"


def run_facts(run: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return metrics, environment and facts of the folds of a finished run."""
    metrics = read_json(run / "metrics.json", "metrics of a run")
    environment = read_json(run / "environment.json", "environment of a run")
    folds = run / "folds.json"
    facts = read_json(folds, "facts of the folds") if folds.exists() else []
    return metrics, environment, facts
