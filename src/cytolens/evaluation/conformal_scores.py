"""How strange a class would be as the truth: the scores of conformal sets, and their bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.seeding import rng

CONFORMAL_METHODS = ("aps", "lac", "raps")
ROUNDING = 1e-9
_WEIGHTS = (0.001, 0.01, 0.1, 0.2, 0.5)  # those the authors of "raps" try
_APART = 0.3  # share of the images that the penalty is chosen on

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Penalty:
    """What "raps" adds to the score of a class that is far down the list.

    Attributes:
        k_reg: places of the list that are free, at least 1.
        weight: added for each place behind them, at least 0 (lambda); 0: "aps".
    """

    k_reg: int
    weight: float

    def __post_init__(self) -> None:
        if self.k_reg < 1 or not 0 <= self.weight < math.inf:
            raise InputError(
                f"A penalty of {self.weight} behind {self.k_reg} places.",
                expected="at least 0, behind at least one place",
            )

    def to_json(self) -> dict[str, Any]:
        """Return {k_reg, lambda}."""
        return {"k_reg": self.k_reg, "lambda": self.weight}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Penalty:
        """Return what `to_json` gave; other keys are left alone.

        Raises:
            KeyError, TypeError, ValueError: something is missing or no number.
        """
        return cls(int(content["k_reg"]), float(content["lambda"]))


def strangeness(probabilities: Floats, method: str, penalty: Penalty | None = None) -> Floats:
    """Return how strange each class would be as the truth, float64 [n, k], 0 or more.

    "lac" (least ambiguous classifier, Sadinle, Lei and Wasserman 2019): 1 - p.
    "aps" (adaptive prediction sets, Romano, Sesia and Candès 2020): the probability of all classes
    that are more probable. Theirs adds a random share of the class's own; it is left out, here
    and when fitting alike, so that an image always gets the same set, and never an empty one.
    "raps" (regularised adaptive prediction sets, Angelopoulos et al. 2021): the same, and
    `weight` for each place of the class behind `k_reg`, its place being the number of classes that
    are at least as probable.
    """
    if method == "lac":
        return np.asarray(1 - probabilities, np.float64)
    above = [
        np.where(probabilities > column[:, None], probabilities, 0.0).sum(axis=1)
        for column in probabilities.T
    ]
    found = np.stack(above, axis=1)  # [n, k]
    if penalty is None:
        return found
    return found + penalty.weight * np.maximum(_places(probabilities) - penalty.k_reg, 0)


def quantiles_of(
    scores: Floats, truth: Ints, k: int, level: float, *, class_conditional: bool
) -> tuple[float | None, ...]:
    """Return the bound of each class, [k]; None where the images are too few.

    Args:
        scores: [n], of the true classes.
        truth: [n], these.
        class_conditional: each class has a bound of its own images.
    """
    if class_conditional:
        return tuple(_quantile(scores[truth == index], level) for index in range(k))
    return (_quantile(scores, level),) * k


def tuning_rows(units: Sequence[Any], seed: int) -> Bools:
    """Return which images the penalty is chosen on, bool [n]: whole units, about three tenths.

    Of a single unit nothing can be held apart.
    """
    names = sorted(set(units))
    shuffled = [names[place] for place in rng(seed, "raps").permutation(len(names))]
    count = dict.fromkeys(names, 0)
    for unit in units:
        count[unit] += 1
    taken: set[Any] = set()
    for unit in shuffled[:-1]:  # one is left for the bound
        if sum(count[one] for one in taken) >= _APART * len(units):
            break
        taken.add(unit)
    return np.array([unit in taken for unit in units], np.bool_)


def choose_penalty(
    probabilities: Floats, truth: Ints, *, level: float, class_conditional: bool = False
) -> Penalty:
    """Choose k_reg and the weight as Angelopoulos et al. 2021 do for small sets.

    k_reg is the number of most probable classes that hold the true one in a share `level`, with
    the correction of a conformal quantile; the weight is that of `_WEIGHTS` which gives the
    smallest sets on these images, the lowest of equals.

    Args:
        probabilities: [n, k], of images that are not used for the bound.
        truth: [n].

    Returns:
        A weight of 0 where there are no images.
    """
    n, k = probabilities.shape
    if n == 0:
        return Penalty(k, 0.0)
    rows = np.arange(n)
    needed = _quantile(_places(probabilities)[rows, truth].astype(np.float64), level)
    k_reg = k if needed is None else int(needed)
    sizes = {}
    for weight in _WEIGHTS:
        scores = strangeness(probabilities, "raps", Penalty(k_reg, weight))  # [n, k]
        bounds = quantiles_of(
            scores[rows, truth], truth, k, level, class_conditional=class_conditional
        )
        inside = scores <= np.array([np.inf if bound is None else bound for bound in bounds])
        sizes[weight] = int(inside.sum())
    return Penalty(k_reg, min(_WEIGHTS, key=lambda weight: sizes[weight]))


def _places(probabilities: Floats) -> Ints:
    """Return how many classes are at least as probable, itself among them, int64 [n, k]."""
    return np.stack(
        [(probabilities >= column[:, None]).sum(axis=1) for column in probabilities.T], axis=1
    )


def _quantile(scores: Floats, level: float) -> float | None:
    rank = math.ceil((len(scores) + 1) * level - ROUNDING)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else None
