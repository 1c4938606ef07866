"""What it costs to call one class another: named matrices, and those a recipe writes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry, did_you_mean
from cytolens.training.cost.bethesda import bethesda
from cytolens.training.cost.binary import binary
from cytolens.training.cost.config import CostConfig

Costs = NDArray[np.float64]
CostFactory = Callable[[Sequence[str]], Costs]
COST_MATRICES: Registry[CostFactory] = Registry("cost matrix")


def uniform(classes: Sequence[str]) -> Costs:
    """Every error costs 1: the total cost is the number of errors."""
    return 1.0 - np.eye(len(classes))


COST_MATRICES.register("none", uniform)
COST_MATRICES.register("bethesda", bethesda)
COST_MATRICES.register("binary", binary)


def cost_matrix(config: CostConfig, classes: Sequence[str]) -> Costs:
    """Return C float64 [k, k]: the cost of calling class i (row) class j (column), 0 on the
    diagonal.

    Raises:
        InputError: an unknown name, classes that a named matrix does not know, or written costs
            with unknown classes, below 0, or above 0 for a right decision (all of them at once).
    """
    if isinstance(config.matrix, str):
        return COST_MATRICES.get(config.matrix)(classes)
    return _written(config.matrix, classes)


def _written(table: dict[str, dict[str, float]], classes: Sequence[str]) -> Costs:
    """Fill in 1 for the errors that are not mentioned."""
    costs = uniform(classes)
    problems: list[str] = []
    place = {name: i for i, name in enumerate(classes)}
    for true, row in table.items():
        if true not in place:
            problems.append(f"{true}: no such class{did_you_mean(true, classes)}")
        for predicted, cost in row.items():
            where = f"{true}.{predicted}"
            if predicted not in place:
                problems.append(f"{where}: no such class{did_you_mean(predicted, classes)}")
            elif cost < 0:
                problems.append(f"{where}: {cost:g} is negative")
            elif true == predicted and cost:
                problems.append(f"{where}: {cost:g}, but a right decision costs 0")
            elif true in place:
                costs[place[true], place[predicted]] = cost
    if problems:
        raise InputError(
            "cost.matrix is not a matrix of costs.",
            rows=problems,
            expected="{true class: {predicted class: cost}} with costs of 0 and more, of "
            + ", ".join(classes),
        )
    return costs
