"""Weights of the classes in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.training.cost.config import CostConfig


def class_weights(
    config: CostConfig, labels: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.float64] | None:
    """Return the weight of each class, float64 [k]; None where all images count the same.

    Args:
        config: the recipe's `[cost]`.
        labels: int64 [n], of the fold's training part (never of the test part, from which
            contrastive2023 took its weights).
        classes: the k names.

    Raises:
        InputError: given weights that do not name the classes.
    """
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        return balanced_weights(np.bincount(labels, minlength=len(classes)))
    check_class_names(config.class_weights, classes)
    return np.array([config.class_weights[name] for name in classes], dtype=np.float64)


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return n / (k · n_c) of each class, float64: contrastive2023, III.C.2.

    n images are of k classes that have any; the mean weight of an image is 1. A class without
    images has weight 0.

    Args:
        counts: int64, images a class.
    """
    present = counts > 0
    weights = np.zeros(len(counts), dtype=np.float64)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def check_class_names(given: dict[str, float], classes: Sequence[str]) -> None:
    """Refuse weights that leave out a class or name another.

    Raises:
        InputError: with all such names.
    """
    wrong = [f"{name}: no such class{did_you_mean(name, classes)}" for name in given]
    wrong = [row for row, name in zip(wrong, given, strict=True) if name not in classes]
    wrong += [f"{name}: no weight" for name in classes if name not in given]
    if wrong:
        raise InputError(
            "cost.class_weights and the classes differ.",
            rows=wrong,
            expected=f"a weight for each of {', '.join(classes)}",
        )
