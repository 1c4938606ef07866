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
from cytolens.evaluation.conformal_scores import (
    CONFORMAL_METHODS,
    ROUNDING,
    Penalty,
    choose_penalty,
    quantiles_of,
    strangeness,
    tuning_rows,
)
from cytolens.evaluation.crossfit import Applied, Fit
from cytolens.evaluation.intervals import RESAMPLES, unit_ratio, unit_shares
from cytolens.evaluation.predictions import Predictions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Conformal:
    """A fitted rule that makes a set of classes of a row of probabilities.

    Attributes:
        level: the share of images whose set shall hold the true class.
        method: the score, "aps", "lac" or "raps" (`strangeness`).
        class_conditional: the level holds for each true class by itself.
        quantiles: the largest score a class may have to be in a set, one a class; None where the
            images were too few to bound it, so that the class is in every set.
        n: the images these bounds were fitted on.
        penalty: of "raps", on long sets.
    """

    level: float
    method: str
    class_conditional: bool
    quantiles: tuple[float | None, ...]
    n: int
    penalty: Penalty | None = None

    def __post_init__(self) -> None:
        _require(self.level, self.method)
        if (self.penalty is not None) != (self.method == "raps"):
            raise InputError(f"Sets of {self.method!r} with the penalty {self.penalty}.")
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
        inside = strangeness(table, self.method, self.penalty) <= np.array(bounds)  # [n, k]
        if never_empty:
            inside[np.arange(len(table)), table.argmax(axis=1)] = True
        return np.asarray(inside, np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Return {level, method, class_conditional, parameters {quantiles}, n}.

        The parameters of "raps" hold k_reg and lambda as well.
        """
        penalty = {} if self.penalty is None else self.penalty.to_json()
        return {
            "level": self.level,
            "method": self.method,
            "class_conditional": self.class_conditional,
            "parameters": {"quantiles": list(self.quantiles)} | penalty,
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
            method = str(content["method"])
            return cls(
                float(content["level"]),
                method,
                bool(content["class_conditional"]),
                tuple(None if value is None else float(value) for value in quantiles),
                int(content["n"]),
                Penalty.from_json(content["parameters"]) if method == "raps" else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("The conformal part cannot be read.") from error


def images_needed(level: float) -> int:
    """Return how many images it takes for a bound: ceil((n + 1) level) <= n; 9 at level .9."""
    require_share(level, "level")
    return math.ceil(level / (1 - level) - ROUNDING)


def fit_conformal(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    level: float,
    method: str = "aps",
    class_conditional: bool = False,
    units: Sequence[str] | None = None,
    penalty: Penalty | None = None,
    seed: int = 0,
) -> Conformal:
    """Fit split conformal sets (Vovk, Gammerman and Shafer 2005; Papadopoulos et al. 2002).

    The bound is the ceil((n + 1) level)-th smallest score of the true classes. A new image that
    is exchangeable with these n then has its true class in the set with a probability of at least
    `level`. With `class_conditional` (Mondrian; Vovk 2012) each class has a bound of its own
    images, and the level holds for each class.

    The penalty of "raps" is chosen on about three tenths of the units, which are then left out of
    the bound (`tuning_rows`, `choose_penalty`), unless it is given.

    Args:
        probabilities: [n, k], n > 0, of images that neither the model nor, strictly, the
            calibrator was fitted on; one row an image (`each_image_once`).
        labels: integers [n] from 0 to k - 1.
        units: [n], what must not be divided; None: each image by itself. "raps" alone uses them.
        penalty: of "raps", chosen elsewhere.
        seed: of the units that are held apart for the choice.

    Raises:
        InputError: a level outside (0, 1), an unknown method, no images, rows that are no
            probabilities, or a penalty of another method.
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
    if method == "raps" and penalty is None:
        apart = tuning_rows(range(n) if units is None else units, seed)
        penalty = choose_penalty(
            table[apart], truth[apart], level=level, class_conditional=class_conditional
        )
        table, truth = table[~apart], truth[~apart]
    scores = strangeness(table, method, penalty)[np.arange(len(truth)), truth]
    quantiles = quantiles_of(scores, truth, k, level, class_conditional=class_conditional)
    return Conformal(level, method, class_conditional, quantiles, len(truth), penalty)


def conformal_fit(
    level: float,
    method: str = "aps",
    *,
    class_conditional: bool = False,
    never_empty: bool = True,
    seed: int = 0,
) -> Fit:
    """Return the fit of such sets, as `crossfit_rows` and `chain` take it."""

    def fit(predictions: Predictions) -> Applied:
        fitted = fit_conformal(
            predictions.probabilities,
            predictions.labels,
            level=level,
            method=method,
            class_conditional=class_conditional,
            units=predictions.units,
            seed=seed,
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
