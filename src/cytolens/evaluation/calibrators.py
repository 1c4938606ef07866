"""Calibrators: fitted on held-out predictions, applied by numpy alone, kept as plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.core.errors import InputError
from cytolens.core.registry import Registry
from cytolens.evaluation.calibration import (
    SMALLEST_PROBABILITY,
    TEMPERATURES,
    apply_temperature,
    fit_temperature,
    log_losses,
)
from cytolens.evaluation.checks import probability_table, whole_numbers

PRIOR = 1.0
_AS_GOOD = 1e-9

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Curve = tuple[tuple[float, ...], ...]


class Calibrator(Protocol):
    """Turns probabilities into better ones.

    `calibrator_from(name, parameters())` is the same calibrator again; the parameters are a dict
    of numbers and lists that JSON keeps exactly.
    """

    name: ClassVar[str]

    def apply(self, probabilities: ArrayLike) -> Floats:
        """Return calibrated probabilities, float64 [n, k], of probabilities [n, k]."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Return what was fitted."""
        ...


@dataclass(frozen=True)
class NoCalibration:
    """Leaves the probabilities as they are."""

    name: ClassVar[str] = "none"

    def apply(self, probabilities: ArrayLike) -> Floats:
        return probability_table(probabilities)

    def parameters(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class TemperatureScaling:
    """softmax(ln p / T) (Guo et al. 2017): the most probable class stays the most probable one.

    ln p differs from the logits by a constant a row, so this is the temperature of the logits,
    with p kept at 1e-15 or more.
    """

    temperature: float
    name: ClassVar[str] = "temperature"

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise InputError(f"The temperature is {self.temperature:g}.", expected="more than 0")

    def apply(self, probabilities: ArrayLike) -> Floats:
        return apply_temperature(_logs(probability_table(probabilities)), self.temperature)

    def parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


@dataclass(frozen=True)
class VectorScaling:
    """softmax(scale ⊙ ln p + bias) (Guo et al. 2017), a scale and a bias a class.

    Unlike a temperature it can change which class is the most probable.
    """

    scale: tuple[float, ...]
    bias: tuple[float, ...]
    name: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        values = (*self.scale, *self.bias)
        if not self.scale or len(self.scale) != len(self.bias) or not np.isfinite(values).all():
            raise InputError(
                f"Vector scaling has the scale {self.scale} and the bias {self.bias}.",
                expected="a number of each for each class",
            )
        if min(self.scale) <= 0:
            raise InputError(f"Vector scaling has the scale {self.scale}.", expected="more than 0")

    def apply(self, probabilities: ArrayLike) -> Floats:
        logs = _logs(probability_table(probabilities, len(self.scale)))
        return apply_temperature(logs * np.array(self.scale) + np.array(self.bias), 1.0)

    def parameters(self) -> dict[str, Any]:
        return {"scale": list(self.scale), "bias": list(self.bias)}


@dataclass(frozen=True)
class IsotonicCalibration:
    """A rising curve a class, one against the rest, then divided by the sum of the row.

    Zadrozny and Elkan 2002. Between its points `x` → `y` a curve is straight, outside flat. It can
    change which class is the most probable.
    """

    x: Curve
    y: Curve
    name: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        good = len(self.x) == len(self.y) > 0 and all(map(_is_curve, self.x, self.y))
        if not good:
            raise InputError(
                "The curves of an isotonic calibration do not rise.",
                expected="for each class as many x, rising, as y in (0, 1], not falling",
            )

    def apply(self, probabilities: ArrayLike) -> Floats:
        table = probability_table(probabilities, len(self.x))
        columns = zip(table.T, self.x, self.y, strict=True)
        raised = np.stack([np.interp(column, x, y) for column, x, y in columns], axis=1)  # [n, k]
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)

    def parameters(self) -> dict[str, Any]:
        return {"x": [list(row) for row in self.x], "y": [list(row) for row in self.y]}


def fit_none(_probabilities: Floats, _labels: Ints) -> NoCalibration:
    """Fit nothing."""
    return NoCalibration()


def fit_temperature_scaling(probabilities: Floats, labels: Ints) -> TemperatureScaling:
    """Fit a temperature by log loss; 1 where the images do not decide it (`fit_temperature`)."""
    return TemperatureScaling(fit_temperature(_logs(probabilities), labels).value)


def fit_vector_scaling(probabilities: Floats, labels: Ints) -> VectorScaling:
    """Fit a scale and a bias a class by log loss, drawn towards one temperature for all.

    Minimised is the sum of the log losses + `PRIOR` (Σ (scale - mean scale)² + Σ bias²), a convex
    function, over scales within 1 / `TEMPERATURES`. Where the whole, made steeper or flatter up to
    an end of that range, fits as well, the images do not decide it (all of them right, say), and
    all scales are 1, all biases 0.
    """
    from scipy.optimize import minimize

    logs = _logs(probabilities)
    n, k = logs.shape
    truth = np.eye(k)[labels]  # [n, k]

    def loss(values: Floats) -> tuple[float, Floats]:
        scale, bias = values[:k], values[k:]
        table = apply_temperature(logs * scale + bias, 1.0)
        spread = scale - scale.mean()
        penalty = PRIOR * ((spread**2).sum() + (bias**2).sum()) / n
        residual = (table - truth) / n
        slope = np.r_[(residual * logs).sum(axis=0), residual.sum(axis=0)]
        value = float(log_losses(labels, table).mean() + penalty)
        return value, slope + 2 * PRIOR / n * np.r_[spread, bias]

    def alone(values: Floats) -> float:
        table = apply_temperature(logs * values[:k] + values[k:], 1.0)
        return float(log_losses(labels, table).mean())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    found = minimize(
        loss,
        np.r_[np.ones(k), np.zeros(k)],
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * k + [(None, None)] * k,
        options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-8},
    )
    scale, bias = found.x[:k], found.x[k:]
    ends = (found.x * (low / scale.min()), found.x * (high / scale.max()))
    if min(map(alone, ends)) <= alone(found.x) + _AS_GOOD:
        return VectorScaling((1.0,) * k, (0.0,) * k)
    return VectorScaling(tuple(scale.tolist()), tuple(bias.tolist()))


def fit_isotonic(probabilities: Floats, labels: Ints) -> IsotonicCalibration:
    """Fit a rising curve a class to "is it this class?" by least squares (scikit-learn).

    Laplace's rule of succession keeps the curves within 1 / (n + 2) and (n + 1) / (n + 2): n
    images never show that a class cannot be.
    """
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(labels) + 2)
    x, y = [], []
    for index, column in enumerate(probabilities.T):
        curve = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        curve.fit(column, (labels == index).astype(np.float64))
        x.append(tuple(curve.X_thresholds_.tolist()))
        y.append(tuple(curve.y_thresholds_.tolist()))
    return IsotonicCalibration(tuple(x), tuple(y))


CALIBRATORS: Registry[Callable[[Floats, Ints], Calibrator]] = Registry("calibrator")
"""The fits, the simplest first."""
CALIBRATORS.register("none", fit_none)
CALIBRATORS.register("temperature", fit_temperature_scaling)
CALIBRATORS.register("vector", fit_vector_scaling)
CALIBRATORS.register("isotonic", fit_isotonic)

_MADE: dict[str, Callable[[Mapping[str, Any]], Calibrator]] = {
    "none": lambda _: NoCalibration(),
    "temperature": lambda found: TemperatureScaling(float(found["temperature"])),
    "vector": lambda found: VectorScaling(_row(found["scale"]), _row(found["bias"])),
    "isotonic": lambda found: IsotonicCalibration(
        tuple(map(_row, found["x"])), tuple(map(_row, found["y"]))
    ),
}


def fit_calibrator(name: str, probabilities: ArrayLike, labels: ArrayLike) -> Calibrator:
    """Fit the calibrator called `name`.

    Args:
        name: one of `CALIBRATORS`.
        probabilities: [n, k], n > 0, of images the model was not trained on.
        labels: integers [n] from 0 to k - 1.

    Raises:
        InputError: an unknown name, no images, probabilities or labels that are none.
    """
    fit = CALIBRATORS.get(name)
    table, truth = probability_table(probabilities), whole_numbers(labels, "labels")
    if truth.shape != (len(table),) or not truth.size:
        raise InputError(
            f"A calibrator cannot be fitted to probabilities {table.shape} and labels "
            f"{truth.shape}.",
            expected="a label for each row of at least one image",
        )
    if truth.min() < 0 or truth.max() >= table.shape[1]:
        raise InputError("A label is out of range.", expected=f"0 to {table.shape[1] - 1}")
    return fit(table, truth)


def calibrator_from(name: str, parameters: Mapping[str, Any]) -> Calibrator:
    """Return the calibrator of this name and these parameters.

    Raises:
        InputError: an unknown name, or parameters that are not its own.
    """
    CALIBRATORS.get(name)
    try:
        made = _MADE[name](parameters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The parameters of the calibrator {name!r} cannot be read.") from error
    if unknown := sorted(set(parameters) - set(made.parameters())):
        raise InputError(f"The calibrator {name!r} has no such parameters.", rows=unknown)
    return made


def _logs(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)), np.float64)


def _row(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _is_curve(x: tuple[float, ...], y: tuple[float, ...]) -> bool:
    if not len(x) == len(y) > 0 or not np.isfinite((*x, *y)).all():
        return False
    rising = bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
    return rising and y[0] > 0 and y[-1] <= 1
