"""The numbers that a classical classifier is fitted on: deep, handcrafted, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cytolens.core.files import sha256_json
from cytolens.data.manifest import Manifest
from cytolens.experiments.learning.frozen import DeepFrozen, Frozen, HandcraftedFrozen
from cytolens.experiments.learning.learner import Setting, Task
from cytolens.experiments.network import Network
from cytolens.experiments.recipe import Recipe
from cytolens.features.handcrafted import HandcraftedTable, MaskedSource
from cytolens.models.classical import shape
from cytolens.models.classical.features import FEATURES, groups_of


@dataclass(frozen=True)
class Numbers:
    """Features of the parts of a fold.

    Attributes:
        train, test: float64 [n, d].
        facts: for `folds.json`.
        notes: what a reader must know of how they were made.
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """Gives the numbers of a fold; its attributes are those of a `Learner`."""

    identity: str
    engine: str
    size: tuple[int, int] | None
    notes: tuple[str, ...]

    def read(self, task: Task, setting: Setting) -> Numbers:
        """Return the features of the training and the test part."""

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen | None:
        """See `Learner.frozen`."""


class Deep:
    """View 0 of the images through the frozen backbone.

    Raises:
        InputError: a backbone or weights that cannot be had.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        self._network = Network(recipe, classes)
        self.identity = self._network.weights.identity
        self.engine = self._network.engine
        self.size: tuple[int, int] | None = self._network.size
        note = self._network.weights.note
        self.notes: tuple[str, ...] = (note,) if note else ()

    def read(self, task: Task, setting: Setting) -> Numbers:
        table = self._network.table(setting.data.manifest, setting.data.facts, setting.store)
        rows = _rows(task)
        with setting.progress.task(f"features, {task.name}", table.missing({0: rows})) as step:
            table.prepare_views({0: rows}, step)
        train, test = (
            table.gather(task.rows[part], 0).reshape(len(task.rows[part]), -1).astype(np.float64)
            for part in ("train", "test")
        )  # [n, …] -> [n, d]
        facts = {"features": {"computed": table.computed, "reused": table.reused}}
        return Numbers(train, test, facts)

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen:
        table = self._network.table(setting.data.manifest, setting.data.facts, setting.store)
        return DeepFrozen(self._network, table, {0: _rows_of(tasks)})


class Handcrafted:
    """Groups of handcrafted features, from the images as preprocessed."""

    engine = "scikit-image"

    def __init__(self, recipe: Recipe) -> None:
        self._groups = groups_of(recipe.classifier.features)
        self._pixels = recipe.pixels
        self._sees_masks = recipe.classifier.sees_masks
        versions = {name: FEATURES.get(name).version for name in self._groups}
        self.identity = f"handcrafted-{sha256_json(versions)[:16]}"
        self.size: tuple[int, int] | None = None
        self.notes: tuple[str, ...] = ()
        if recipe.pixels.size:  # else each image keeps its own
            self.size = recipe.pixels.resolve((0, 0))

    def read(self, task: Task, setting: Setting) -> Numbers:
        masks, notes = self._masks(setting.data.manifest)
        table = self._table(setting, masks)
        rows = _rows(task)
        with setting.progress.task(f"features, {task.name}", table.missing(rows)) as step:
            table.prepare(rows, step)
        train, test = (table.matrix(task.rows[part]) for part in ("train", "test"))
        said: dict[str, Any] = {
            "features": {"computed": table.computed, "reused": table.reused},
            "groups": list(self._groups),
        }
        if "shape" in self._groups:
            flag = self._column("shape", shape.MISSING)
            said["parts_from"] = "masks" if masks else "built-in segmentation"
            said["without_nucleus"] = int(train[:, flag].sum() + test[:, flag].sum())
        return Numbers(train, test, said, notes)

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> Frozen:
        masks, _ = self._masks(setting.data.manifest)
        return HandcraftedFrozen(self._table(setting, masks), _rows_of(tasks), self._pixels)

    def _table(self, setting: Setting, masks: bool) -> HandcraftedTable:
        manifest, facts = setting.data.manifest, setting.data.facts
        sources = [
            MaskedSource(row.image, sha, row.mask if masks else None)
            for row, sha in zip(manifest.rows, facts.sha256, strict=True)
        ]
        return HandcraftedTable(sources, self._groups, self._pixels, setting.store)

    def _masks(self, manifest: Manifest) -> tuple[bool, tuple[str, ...]]:
        """Return whether the masks of the manifest are used, and what is to be told of that."""
        if not self._sees_masks:
            return False, ()
        drawn = sum(row.mask is not None for row in manifest.rows)
        if drawn == 0:
            return False, ("shape of nuclei and cytoplasm: from the built-in segmentation",)
        if drawn < len(manifest):
            return False, (
                f"shape of nuclei and cytoplasm: from the built-in segmentation; the masks of "
                f"{drawn} of {len(manifest)} images are not used, because the others have none",
            )
        return True, (
            "shape of nuclei and cytoplasm: from the masks of the manifest, test images' "
            "included; a new image would need a mask, too",
        )

    def _column(self, group: str, place: int) -> int:
        before = self._groups[: self._groups.index(group)]
        return sum(len(FEATURES.get(name).names) for name in before) + place


class Nothing:
    """No features at all."""

    engine = "none"
    identity = "no features"

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None
        self.notes: tuple[str, ...] = ()

    def read(self, task: Task, setting: Setting) -> Numbers:
        del setting
        train, test = (np.zeros((len(task.rows[part]), 0)) for part in ("train", "test"))
        return Numbers(train, test, {"features": {"computed": 0, "reused": 0}})

    def frozen(self, tasks: Sequence[Task], setting: Setting) -> None:
        del tasks, setting


def create_source(recipe: Recipe, classes: int) -> Source:
    """Return where the numbers of a recipe come from."""
    if recipe.classifier.features == "deep":
        return Deep(recipe, classes)
    return Handcrafted(recipe) if groups_of(recipe.classifier.features) else Nothing()


def _rows(task: Task) -> list[int]:
    return sorted({*task.rows["train"].tolist(), *task.rows["test"].tolist()})


def _rows_of(tasks: Sequence[Task]) -> list[int]:
    return sorted({row for task in tasks for row in _rows(task)})
