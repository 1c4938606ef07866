"""What every way of learning a fold shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cytolens.core.progress import Progress
from cytolens.experiments.environment import Clock
from cytolens.experiments.folder import Workplace
from cytolens.experiments.learning.frozen import Frozen
from cytolens.experiments.learning.learned import Learned
from cytolens.experiments.preparation import Prepared
from cytolens.experiments.recipe import Recipe
from cytolens.features.store import Store
from cytolens.splits.split import Fold
from cytolens.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Task:
    """A fold to learn.

    Attributes:
        rows: manifest rows (int64) of "train", "validation" and "test". Validation is the part
            that may choose among epochs; it may be empty.
        name: for the progress, "fold 1 of 5".
        keep: whether this fold's model goes into the run's bundle.
    """

    fold: Fold
    rows: dict[str, NDArray[np.int64]]
    name: str
    keep: bool


@dataclass(frozen=True)
class Setting:
    """What a learner works with; the same for all folds of a run.

    Attributes:
        ranks: the processes that learn each fold together.
    """

    recipe: Recipe
    data: Prepared
    store: Store
    place: Workplace
    progress: Progress
    clock: Clock
    ranks: Ranks = ALONE


class Learner(Protocol):
    """Learns folds. Made before the data is prepared, so that wrong recipes fail at once.

    Attributes:
        identity: what must be the same when a run that was cut off goes on.
        engine: what computes the features, for `environment.json`.
        size: height and width in pixels of what the learner sees; None: each image's own.
        notes: fallbacks that a reader must know.
        keeps_bundle: whether it leaves a bundle in the run folder.
    """

    identity: str
    engine: str
    notes: tuple[str, ...]
    keeps_bundle: bool

    @property
    def size(self) -> tuple[int, int] | None:
        """See above; a property, so that a learner may always have a size."""

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen | None:
        """Return what is computed once an image for some folds; None where there is nothing."""

    def learn(self, task: Task, setting: Setting) -> Learned:
        """Learn one fold and predict its test part."""
