"""What is explained: a number made of the class scores of one image.

Perturbation methods, gradients and the judgement of both take the same object, so that they speak
of the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from torch import Tensor

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean

Space = Literal["score", "probability"]


@dataclass(frozen=True)
class Target:
    """A weighted sum of class scores, or of class probabilities.

    Attributes:
        name: for captions, "LSIL" or "LSIL against HSIL".
        weights: [k], one a class.
        space: what is summed: the scores (logits) or their softmax.
    """

    name: str
    weights: tuple[float, ...]
    space: Space = "score"

    @overload
    def __call__(self, scores: Tensor) -> Tensor: ...
    @overload
    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.float64]: ...
    def __call__(self, scores: Tensor | NDArray[np.float32]) -> Tensor | NDArray[np.float64]:
        """Return the value of each image: class scores [N, k] -> [N]."""
        if isinstance(scores, Tensor):
            values = scores.softmax(dim=1) if self.space == "probability" else scores
            return values @ values.new_tensor(self.weights)
        exact = scores.astype(np.float64)
        summed = softmax(exact, axis=1) if self.space == "probability" else exact
        found: NDArray[np.float64] = summed @ np.array(self.weights)
        return found

    def in_probability(self) -> Target:
        """Return the same sum taken over probabilities."""
        return Target(self.name, self.weights, "probability")


def class_target(classes: Sequence[str], name: str, space: Space = "score") -> Target:
    """Return the score (logit) or probability of one class.

    Raises:
        InputError: there is no such class.
    """
    weights = np.zeros(len(classes))
    weights[_index(classes, name)] = 1.0
    return Target(name, tuple(weights.tolist()), space)


def difference(classes: Sequence[str], name: str, other: str, space: Space = "score") -> Target:
    """Return what speaks for one class against another: the difference of their scores.

    Raises:
        InputError: there is no such class, or both are the same.
    """
    first, second = _index(classes, name), _index(classes, other)
    if first == second:
        raise InputError(f"{name} against itself is always 0.", expected="two classes")
    weights = np.zeros(len(classes))
    weights[first], weights[second] = 1.0, -1.0
    return Target(f"{name} against {other}", tuple(weights.tolist()), space)


def decision(classes: Sequence[str], name: str, costs: ArrayLike) -> Target:
    """Return what a decision saves: the mean expected cost of the others minus its own.

    The expected cost of deciding d is sum over c of p(c) · C[c, d] (Elkan 2001, equation 1).

    Args:
        costs: [k, k], rows true, columns decided.

    Raises:
        InputError: there is no such class, or a matrix of another shape.
    """
    matrix = np.asarray(costs, dtype=np.float64)
    if matrix.shape != (len(classes), len(classes)):
        raise InputError(
            f"Costs of shape {matrix.shape} for {len(classes)} classes.",
            expected=f"({len(classes)}, {len(classes)}), rows true, columns decided",
        )
    chosen = _index(classes, name)
    others = np.delete(matrix, chosen, axis=1).mean(axis=1)
    weights = others - matrix[:, chosen]
    return Target(f"decision for {name}", tuple(weights.tolist()), "probability")


def predicted(scores: Tensor, classes: Sequence[str], space: Space = "score") -> list[Target]:
    """Return, for class scores [N, k], the target of each image's most probable class."""
    return [class_target(classes, classes[i], space) for i in torch.argmax(scores, 1).tolist()]


def _index(classes: Sequence[str], name: str) -> int:
    if name not in classes:
        raise InputError(
            f"There is no class {name!r}{did_you_mean(name, classes)}.",
            expected=f"one of {', '.join(classes)}",
        )
    return list(classes).index(name)
