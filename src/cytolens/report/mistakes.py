"""The mistakes that the model was surest of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cytolens.report.run_folder import Scored


@dataclass(frozen=True)
class Mistake:
    """One wrong prediction: the classes by index, and the probability given to the wrong one."""

    id: str
    true: int
    predicted: int
    confidence: float
    true_probability: float
    fold: int


def confident_mistakes(scored: Scored, most: int = 12) -> tuple[list[Mistake], int]:
    """Return the `most` surest mistakes, an image once, and how many mistakes there are in all."""
    predicted = scored.probabilities.argmax(axis=1)
    wrong = np.flatnonzero((predicted != scored.labels) & (scored.labels >= 0))
    confidence = scored.probabilities[wrong, predicted[wrong]]
    order = wrong[np.argsort(-confidence, kind="stable")]
    found: dict[str, Mistake] = {}
    for row in order:
        name = scored.ids[row]
        if len(found) == most:
            break
        if name not in found:
            found[name] = Mistake(
                id=name,
                true=int(scored.labels[row]),
                predicted=int(predicted[row]),
                confidence=float(scored.probabilities[row, predicted[row]]),
                true_probability=float(scored.probabilities[row, scored.labels[row]]),
                fold=int(scored.folds[row]),
            )
    return list(found.values()), len(wrong)
