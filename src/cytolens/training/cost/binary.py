"""Costs of errors between a healthy and a diseased class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError

HEALTHY = ("benign", "healthy", "negative", "nilm", "normal")
DISEASED = ("abnormal", "cancer", "diseased", "leukaemia", "leukemia", "malignant", "positive")
MISSED, FALSE_ALARM = 5.0, 1.0


def binary(classes: Sequence[str]) -> NDArray[np.float64]:
    """A missed disease costs 5, a false alarm 1, for two classes with names that tell them apart.

    A false alarm costs one examination, which finds it out; a missed disease goes on until the
    next one. With 5 to 1, disease is the cheapest decision from a probability of 1/6 upwards. The
    ratio is a judgement to start from. Which class is the disease is read off known names (normal,
    healthy, benign, negative, NILM; abnormal, diseased, malignant, cancer, positive, leukaemia)
    and never guessed from their order or counts.

    Raises:
        InputError: not two classes, or names that do not say which is which.
    """
    words = [name.strip().lower() for name in classes]
    sick = [word in DISEASED for word in words]
    well = [word in HEALTHY for word in words]
    if len(words) != 2 or sum(sick) != 1 or sum(well) != 1:
        raise InputError(
            f'cost.matrix = "binary" cannot tell which of {", ".join(classes)} is the disease.',
            expected=f"one of {', '.join(HEALTHY)} and one of {', '.join(DISEASED)}",
            fix="write the costs as {true class: {predicted class: cost}}.",
        )
    costs = np.zeros((2, 2))
    costs[sick.index(True), well.index(True)] = MISSED
    costs[well.index(True), sick.index(True)] = FALSE_ALARM
    return costs
