"""What is explained of each image: a class, one class against another, or a decision by cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation.costs import cheapest_decisions
from cytolens.explain import Target, class_target, decision, difference


@dataclass(frozen=True)
class Question:
    """What is asked of every image.

    Attributes:
        target: a class; None: what the image is called.
        against: explain the target's score minus this class's.
        decision: explain the decision for the target under the run's cost matrix; without a
            target, the cheapest decision.
    """

    target: str | None = None
    against: str | None = None
    decision: bool = False

    def __post_init__(self) -> None:
        if self.against is not None and self.decision:
            raise InputError("One class against another is no decision by cost: ask one of them.")

    def targets(
        self,
        ids: Sequence[str],
        probabilities: NDArray[np.float64],
        classes: Sequence[str],
        costs: NDArray[np.float64] | None,
    ) -> list[Target]:
        """Return what is explained of each image.

        Args:
            ids: of the images [n], for messages.
            probabilities: float64 [n, k].
            costs: [k, k], rows true, columns decided; None: not known.

        Raises:
            InputError: an unknown class, a class against itself, or no costs to decide by.
        """
        if self.decision:
            matrix = _known(costs)
            called = cheapest_decisions(probabilities, matrix)
            names = [self.target or classes[i] for i in called.tolist()]
            return [decision(classes, name, matrix) for name in names]
        called = probabilities.argmax(axis=1)  # [n]
        names = [self.target or classes[i] for i in called.tolist()]
        if self.against is None:
            return [class_target(classes, name) for name in names]
        same = [i for i, name in zip(ids, names, strict=True) if name == self.against]
        if same and self.target is None:
            raise InputError(
                f"{len(same)} of {len(ids)} images are called {self.against} themselves; a class "
                "against itself is always 0.",
                rows=same,
                fix="say which class is explained against it, with --target.",
            )
        return [difference(classes, name, self.against) for name in names]


def _known(costs: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if costs is None:
        raise InputError(
            "The bundle does not say what errors cost: no decision by cost can be explained.",
            fix="explain a class, or train again with a cost matrix (cost.matrix).",
        )
    return costs


def costs_of(metrics: dict[str, Any]) -> NDArray[np.float64] | None:
    """Return the cost matrix [k, k] that a run was scored by, None where its metrics have none."""
    matrix = (metrics.get("cost") or {}).get("matrix")
    return None if matrix is None else np.array(matrix, np.float64)
