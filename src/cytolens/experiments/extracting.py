"""Features of a data set computed before any run: `cytolens features`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cytolens.core.files import cache_dir, writing
from cytolens.core.progress import Progress, Silent
from cytolens.data.manifest import Manifest
from cytolens.experiments.cluster.extraction import Extracted, extract
from cytolens.experiments.cluster.folds import check
from cytolens.experiments.cluster.where import HERE, Where
from cytolens.experiments.environment import Clock
from cytolens.experiments.folder import Workplace
from cytolens.experiments.opening import look
from cytolens.experiments.recipe import Recipe


def extract_features(
    recipe: Recipe, manifest: Manifest, *, where: Where = HERE, progress: Progress | None = None
) -> Extracted:
    """Compute what a recipe's frozen part makes of the images, so that a run finds it all.

    Raises:
        InputError: as `run_recipe`.
        LeakError: the honest protocol and a split that leaks: such a run would not begin.
    """
    progress = progress or Silent()
    with _scratch() as scratch:
        work = look(recipe, manifest, progress).prepare(Workplace(scratch), progress, Clock())
        if where.is_cluster:
            with where.join() as cluster:
                check(cluster, work)
                return extract(work.frozen(), cluster, progress)
        frozen = work.frozen()
        if frozen is None:
            return Extracted()
        with progress.task("features", frozen.missing()) as step:
            return Extracted(frozen.asked, frozen.compute(step))


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a place for the copies of an offline expansion, seen by all who share the cache."""
    with writing(cache_dir(), "images to compute features of"):
        cache_dir().mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="features-", dir=cache_dir()) as folder:
            yield Path(folder) / "run"
