"""Pooled predictions: what was predicted for which image, and in which fold and repeat."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.evaluation import checks


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions on test images; row i of every field speaks of the same image and repeat.

    Attributes:
        ids: image ids [n]; an image occurs once a repeat.
        labels: int64 [n], indices into `classes`.
        probabilities: float64 [n, k] in [0, 1]; rows sum to 1 (to 1e-4, as float32 softmax does).
        classes: k names; their order is the columns' order (and the order of the quadratic kappa).
        folds: int64 [n], the fold whose test part held the image.
        repeats: int64 [n], the repeat of the cross-validation.
        units: what is resampled as a whole [n]: group, near-duplicate cluster or image id.

    Raises:
        InputError: columns of different length, labels out of range, probabilities that are NaN
            or not normalised, an image twice in a repeat, an image with two labels or units.
    """

    ids: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    folds: NDArray[np.int64]
    repeats: NDArray[np.int64]
    units: list[str]

    def __post_init__(self) -> None:
        for name in ("labels", "folds", "repeats"):
            object.__setattr__(self, name, checks.whole_numbers(getattr(self, name), name))
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float64))
        object.__setattr__(self, "classes", tuple(self.classes))
        checks.require_columns(self)
        checks.require_labels(self)
        checks.require_probabilities(self)
        checks.require_once_a_repeat(self)
        checks.require_one_truth(self)

    def __len__(self) -> int:
        """Return the number of rows: images times repeats."""
        return len(self.ids)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Predictions:
        """Return the rows at these positions (at least one), in this order."""
        chosen = np.asarray(rows, np.int64)
        return Predictions(
            ids=[self.ids[row] for row in chosen.tolist()],
            labels=self.labels[chosen],
            probabilities=self.probabilities[chosen],
            classes=self.classes,
            folds=self.folds[chosen],
            repeats=self.repeats[chosen],
            units=[self.units[row] for row in chosen.tolist()],
        )

    @property
    def images(self) -> int:
        """The number of distinct images."""
        return len(set(self.ids))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each row, int64 [n]; the first one on a tie."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)


def pool(parts: Sequence[Predictions], *, expected: Collection[str] | None = None) -> Predictions:
    """Join the predictions of all folds and repeats, and refuse gaps.

    Args:
        parts: predictions of one or more folds each, with the same classes in the same order.
        expected: ids that every repeat must have predicted, no more and no fewer; without it,
            gaps are looked for in the numbers of the folds and between the repeats.

    Raises:
        InputError: no parts, different classes, a missing fold or image, or an image twice.
    """
    if not parts:
        raise InputError("There are no predictions to pool.")
    classes = parts[0].classes
    if odd := [part.classes for part in parts if part.classes != classes]:
        raise InputError(
            "The folds were trained on different classes.",
            rows=[", ".join(names) for names in odd],
            expected=", ".join(classes),
        )
    pooled = Predictions(
        ids=[name for part in parts for name in part.ids],
        labels=np.concatenate([part.labels for part in parts]),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        classes=classes,
        folds=np.concatenate([part.folds for part in parts]),
        repeats=np.concatenate([part.repeats for part in parts]),
        units=[unit for part in parts for unit in part.units],
    )
    checks.require_complete(pooled, expected)
    return pooled
