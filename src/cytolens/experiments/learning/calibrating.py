"""Probabilities that decisions of least cost can be taken by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.evaluation import apply_temperature, fit_temperature
from cytolens.experiments.recipe import Recipe

Floats = NDArray[np.float64]
_SMALLEST = 1e-15  # probability; its logarithm is still a number


@dataclass(frozen=True)
class Calibrated:
    """Test probabilities, the temperature they were scaled by (None: not), and what to note."""

    probabilities: Floats
    temperature: float | None
    notes: tuple[str, ...] = ()


def needs_calibration(recipe: Recipe) -> bool:
    """Whether the decisions of a recipe ask for calibrated probabilities."""
    return recipe.cost.decision == "cheapest"


def may_calibrate(recipe: Recipe, validation: NDArray[np.int64]) -> bool:
    """Whether the fold has images to calibrate on: a validation part that is not the test part."""
    choosable = recipe.training.choose_on == "validation"
    return needs_calibration(recipe) and choosable and len(validation) > 0


def calibrate(test: Floats, validation: Floats, labels: NDArray[np.int64]) -> Calibrated:
    """Scale the test probabilities by the temperature that fits the validation part best.

    The most probable class stays the same (Guo et al. 2017).

    Args:
        test, validation: float64 [n, k], probabilities of the two parts.
        labels: int64, of the validation part.
    """
    found = fit_temperature(_logits(validation), labels)
    if not found.decided:
        note = "calibrated by T = 1: the validation part does not decide a temperature"
        return Calibrated(test, found.value, (note,))
    return Calibrated(apply_temperature(_logits(test), found.value), found.value)


def uncalibrated(test: Floats) -> Calibrated:
    """Return the probabilities as they are, and say so."""
    note = (
        "uncalibrated: the cheapest decisions use the probabilities as predicted, because no "
        "validation part stands apart from the test part (split.validation)"
    )
    return Calibrated(test, None, (note,))


def _logits(probabilities: Floats) -> Floats:
    return np.log(np.clip(probabilities, _SMALLEST, 1.0))
