"""Conformal sets: classes that hold the true one as often as was asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import did_you_mean
from cytolens.evaluation.checks import probability_table, require_share, whole_numbers
from cytolens.evaluation.crossfit import Applied, Fit
from cytolens.evaluation.intervals import RESAMPLES, unit_ratio, unit_shares
from cytolens.evaluation.predictions import Predictions

CONFORMAL_METHODS = ("aps", "lac")
_ROUNDING = 1e-9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Conformal:
    """A fitted rule that makes a set of classes of a row of probabilities.

    Attributes:
        level: the share of images whose set shall hold the true class.
        method: the score, "aps" or "lac" (`strangeness`).
        class_conditional: the level holds for each true class by itself.
        quantiles: the largest score a class may have to be in a set, one a class; None where the
            images were too few to bound it, so that the class is in every set.
        n: the images it was fitted on.
    """

    level: float
    method: str
    class_conditional: bool
    quantiles: tuple[float | None, ...]
    n: int

    def __post_init__(self) -> None:
        _require(self.level, self.method)
        bounds = [value for value in self.quantiles if value is not None]
        if not self.quantiles or not np.isfinite(bounds).all():
            raise InputError(f"The conformal quantiles are {self.quantiles}.")

    def sets(self, probabilities: ArrayLike, *, never_empty: bool = True) -> Bools:
        """Return which classes are in the set of each row, bool [n, k].

        No set is empty: the most probable class is in every one, which can only raise the
        coverage. So coverage is at least the accuracy, whatever the level. Without `never_empty`,
        the sets are what the bounds alone give; those of "lac" may be empty then.
        """
        table = probability_table(probabilities, len(self.quantiles))
        bounds = [np.inf if value is None else value for value in self.quantiles]
        inside = strangeness(table, self.method) <= np.array(bounds)  # [n, k]
        if never_empty:
            inside[np.arange(len(table)), table.argmax(axis=1)] = True
        return np.asarray(inside, np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Return {level, method, class_conditional, parameters {quantiles}, n}."""
        return {
            "level": self.level,
            "method": self.method,
            "class_conditional": self.class_conditional,
            "parameters": {"quantiles": list(self.quantiles)},
            "n": self.n,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Conformal:
        """Return what `to_json` gave; other keys are left alone.

        Raises:
            InputError: something is missing or no number.
        """
        try:
            quantiles = content["parameters"]["quantiles"]
            return cls(
                float(content["level"]),
                str(content["method"]),
                bool(content["class_conditional"]),
                tuple(None if value is None else float(value) for value in quantiles),
                int(content["n"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("The conformal part cannot be read.") from error


def strangeness(probabilities: Floats, method: str) -> Floats:
    """Return how strange each class would be as the truth, float64 [n, k] in [0, 1].

    "lac" (least ambiguous classifier, Sadinle, Lei and Wasserman 2019): 1 - p.
    "aps" (adaptive prediction sets, Romano, Sesia and Candès 2020): the probability of all classes
    that are more probable. Theirs adds a random share of the class's own; it is left out, here
    and when fitting alike, so that an image always gets the same set, and never an empty one.
    """
    if method == "lac":
        return np.asarray(1 - probabilities, np.float64)
    above = [
        np.where(probabilities > column[:, None], probabilities, 0.0).sum(axis=1)
        for column in probabilities.T
    ]
    return np.stack(above, axis=1)  # [n, k]


def images_needed(level: float) -> int:
    """Return how many images it takes for a bound: ceil((n + 1) level) <= n; 9 at level .9."""
    require_share(level, "level")
    return math.ceil(level / (1 - level) - _ROUNDING)


def fit_conformal(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    level: float,
    method: str = "aps",
    class_conditional: bool = False,
) -> Conformal:
    """Fit split conformal sets (Vovk, Gammerman and Shafer 2005; Papadopoulos et al. 2002).

    The bound is the ceil((n + 1) level)-th smallest score of the true classes. A new image that
    is exchangeable with these n then has its true class in the set with a probability of at least
    `level`. With `class_conditional` (Mondrian; Vovk 2012) each class has a bound of its own
    images, and the level holds for each class.

    Args:
        probabilities: [n, k], n > 0, of images that neither the model nor, strictly, the
            calibrator was fitted on; one row an image (`each_image_once`).
        labels: integers [n] from 0 to k - 1.

    Raises:
        InputError: a level outside (0, 1), an unknown method, no images, or rows that are no
            probabilities.
    """
    _require(level, method)
    table, truth = probability_table(probabilities), whole_numbers(labels, "labels")
    n, k = table.shape
    if truth.shape != (n,) or n == 0:
        raise InputError(
            f"Conformal sets cannot be fitted to probabilities {table.shape} and labels "
            f"{truth.shape}.",
            expected="a label for each row of at least one image",
        )
    if truth.min() < 0 or truth.max() >= k:
        raise InputError("A label is out of range.", expected=f"0 to {k - 1}")
    scores = strangeness(table, method)[np.arange(n), truth]  # [n]
    if class_conditional:
        quantiles = tuple(_quantile(scores[truth == index], level) for index in range(k))
    else:
        quantiles = (_quantile(scores, level),) * k
    return Conformal(level, method, class_conditional, quantiles, n)


def conformal_fit(
    level: float,
    method: str = "aps",
    *,
    class_conditional: bool = False,
    never_empty: bool = True,
) -> Fit:
    """Return the fit of such sets, as `crossfit_rows` and `chain` take it."""

    def fit(predictions: Predictions) -> Applied:
        fitted = fit_conformal(
            predictions.probabilities,
            predictions.labels,
            level=level,
            method=method,
            class_conditional=class_conditional,
        )
        return lambda probabilities: fitted.sets(probabilities, never_empty=never_empty)

    return fit


def coverage(
    sets: Bools,
    labels: ArrayLike,
    units: Sequence[str],
    classes: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Tell how often the sets hold the truth and how large they are, with intervals over units.

    Args:
        sets: bool [n, k], of images they were not fitted on (`crossfit_rows`).
        labels: integers [n]; units: [n]; classes: k names.

    Returns:
        {n, coverage, size (mean number of classes), single (share of sets of one class),
        single_right (share of those that hold the truth), per_class {name: {n, coverage}}};
        each but n is {value, low, high}, None where undefined.

    Raises:
        InputError: shapes that do not fit, or a label out of range.
    """
    truth, inside = whole_numbers(labels, "labels"), np.asarray(sets, np.bool_)
    if inside.shape != (len(truth), len(classes)) or not truth.size:
        raise InputError(
            f"Sets of shape {inside.shape} do not go with {len(truth)} labels and "
            f"{len(classes)} classes.",
            expected="a set and a label for each of at least one image",
        )
    if truth.min() < 0 or truth.max() >= len(classes):
        raise InputError("A label is out of range.", expected=f"0 to {len(classes) - 1}")
    held, sizes = inside[np.arange(len(truth)), truth], inside.sum(axis=1)
    of_class = [truth == index for index in range(len(classes))]
    pairs = [(held, None), (sizes == 1, None), (held, sizes == 1), *((held, of) for of in of_class)]
    scores = iter(unit_shares(pairs, units, resamples=resamples, seed=seed))
    return {
        "n": len(truth),
        "coverage": next(scores),
        "size": unit_ratio(sizes, None, units, resamples=resamples, seed=seed),
        "single": next(scores),
        "single_right": next(scores),
        "per_class": {
            name: {"n": int(of.sum()), "coverage": next(scores)}
            for name, of in zip(classes, of_class, strict=True)
        },
    }


def _require(level: float, method: str) -> None:
    require_share(level, "level")
    if method not in CONFORMAL_METHODS:
        raise InputError(
            f"Unknown conformal method {method!r}{did_you_mean(method, CONFORMAL_METHODS)}.",
            expected=f"one of {', '.join(CONFORMAL_METHODS)}",
        )


def _quantile(scores: Floats, level: float) -> float | None:
    rank = math.ceil((len(scores) + 1) * level - _ROUNDING)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else None
