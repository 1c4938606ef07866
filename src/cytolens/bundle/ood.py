"""How far an image is from those of training, by the features a network takes from it.

Two distances between features brought to unit length, each divided by its limit, and the larger
of the two is the score; above 1 an image is unlike those of training:

- the Mahalanobis distance to the mean (Lee et al. 2018, "A simple unified framework for detecting
  out-of-distribution samples"), with the covariance shrunk as Ledoit and Wolf (2004);
- the distance to the k-th nearest of some training images (Sun et al. 2022, "Out-of-distribution
  detection with deep nearest neighbors").

Unit length, 128 directions and five neighbours were chosen on real smears: of images blurred by
two pixels, Mahalanobis distances of plain features passed 11 in a hundred, these none. Means of
each class gained next to nothing, so labels are not needed. Scoring takes numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cytolens.bundle.neighbours import nearest, unit_length
from cytolens.core.errors import InputError
from cytolens.core.seeding import rng
from cytolens.core.threads import one_blas_thread

LIMIT = 1.0
FARTHEST = 1e6  # the largest score; also of features that are not numbers
LEAST_TRAINING = 20  # images
_DIRECTIONS = 128
_NEIGHBOURS = 5
_REFERENCES = 1000  # training images that are kept
_COVARIANCE = 5000  # training images behind mean and covariance
_SLACK = 1e-4  # relative, so that the image that sets the limit passes however it is batched
_CHUNK = 512  # images scored at once
_TINY = 1e-12
_ROUNDING = 1e-6  # of references, which are float32

Floats = NDArray[np.float64]
Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Share:
    """A share and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OodCard:
    """The scalars of an `Ood`, plain data for JSON.

    Attributes:
        width: of the features.
        neighbours: k, the neighbour whose distance counts.
        mahalanobis, nearest: the distances at which the score is 1.
        acceptance: the share of own images that was asked to pass.
        accepts: the share of new own images that will pass, if they are drawn like the held-out
            ones: r / (n + 1) with a Beta(r, n + 1 - r) interval for the r-th smallest of n scores.
            Images of one patient are alike, and make the true interval wider.
        training, held_out: number of images.
    """

    width: int
    neighbours: int
    mahalanobis: float
    nearest: float
    acceptance: float
    accepts: Share
    training: int
    held_out: int


class Ood:
    """Scores features by their distance from training.

    Args:
        card: the scalars.
        tensors: float32 `mean` [d], `projection` [d, r] (orthonormal directions), `precision`
            [r + 1] (one over the variance along each, and along what is left over),
            `reference` [m, d] (training features of unit length).

    Raises:
        InputError: tensors that are missing, or that do not fit the card or one another.
    """

    def __init__(self, card: OodCard, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self.card = card
        # safetensors writes what is in memory, whatever the strides: rows after rows, then.
        self.tensors: Tensors = {k: np.ascontiguousarray(tensors[k]) for k in sorted(tensors)}
        _check_tensors(card, self.tensors)
        self._mean = self.tensors["mean"].astype(np.float64)
        self._projection = self.tensors["projection"].astype(np.float64)
        self._precision = self.tensors["precision"].astype(np.float64)
        self._reference = self.tensors["reference"]

    def distances(self, features: ArrayLike) -> Floats:
        """Return both distances divided by their limits, float64 [n, 2]: Mahalanobis, nearest.

        Args:
            features: floats [n, d]. Rows that are not finite are `FARTHEST`, as is any distance
                beyond it, so that a score is always a number.

        Raises:
            InputError: features of another width.
        """
        given = np.asarray(features, np.float64)
        if given.ndim != 2 or given.shape[1] != self.card.width:
            raise InputError(
                f"Features of shape {given.shape} cannot be compared with those of training.",
                expected=f"[n, {self.card.width}]",
            )
        found = np.full((len(given), 2), FARTHEST)
        rows = np.flatnonzero(np.isfinite(given).all(axis=1))
        with one_blas_thread():  # products of milliseconds, often beside a network at work
            for start in range(0, len(rows), _CHUNK):
                some = rows[start : start + _CHUNK]
                unit = unit_length(given[some])
                found[some, 0] = self._mahalanobis(unit) / self.card.mahalanobis
                found[some, 1] = self._nearest(unit) / self.card.nearest
        return np.asarray(np.minimum(found, FARTHEST), np.float64)

    def score(self, features: ArrayLike) -> Floats:
        """Return how far each image is, float64 [n]; the larger distance, 1 at the limit."""
        return np.asarray(self.distances(features).max(axis=1, initial=0.0), np.float64)

    def out(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Return which images are unlike those of training, bool [n]."""
        return np.asarray(self.score(features) > LIMIT, np.bool_)

    def _mahalanobis(self, unit: Floats) -> Floats:
        offset = unit - self._mean
        along = offset @ self._projection  # [n, r]
        over = (offset**2).sum(axis=1) - (along**2).sum(axis=1)
        squares = along**2 @ self._precision[:-1] + np.maximum(over, 0.0) * self._precision[-1]
        return np.asarray(np.sqrt(squares), np.float64)

    def _nearest(self, unit: Floats) -> Floats:
        return nearest(unit, self._reference, self.card.neighbours)[1][:, -1]


def reason(score: float) -> str:
    """Return the sentence for a score above the limit."""
    times = "more than 100" if score > 100 else f"{score:.{2 if score < 1.1 else 1}f}"
    return (
        "the image does not look like those the model was trained on "
        f"(distance {times} times the largest that is accepted)"
    )


def fit_ood(
    train_features: ArrayLike,
    train_groups: Sequence[str] | None,
    held_out_features: ArrayLike,
    *,
    acceptance: float = 0.95,
    seed: int = 0,
) -> Ood:
    """Learn what features of own images look like, and how far new ones may be.

    The distances are learned from training images; the limits from images the network has not
    seen, because features of training images lie closer together. The held-out labels are not
    used. The limits are scaled together so that the score, not each distance, accepts the share
    `acceptance`: the r-th smallest of n held-out scores is the limit, r = ceil((n + 1)
    acceptance), which accepts a new image alike with at least that probability.

    Args:
        train_features: floats [n, d] of the images the network was trained on.
        train_groups: the patient or slide of each; the images that are kept are taken from the
            groups in turn, so that none fills the neighbourhood. None: each image for itself.
        held_out_features: floats [n, d] of images of other groups.
        acceptance: wanted share of own images, 0.5 to below 1.
        seed: of the choice among training images, where there are more than are kept.

    Raises:
        InputError: too few images, features that are not finite or of different widths, all
            training features equal, or held-out images that are copies of training images.
    """
    if not 0.5 <= acceptance < 1:
        raise InputError(f"An acceptance of {acceptance:g} is out of range.", expected="0.5 to < 1")
    training = _features(train_features, "training")
    held_out = _features(held_out_features, "held-out")
    if training.shape[1] != held_out.shape[1]:
        raise InputError(
            f"Training features have {training.shape[1]} values, held-out {held_out.shape[1]}."
        )
    rank = _check_counts(len(training), len(held_out), acceptance)
    groups = list(range(len(training))) if train_groups is None else list(train_groups)
    if len(groups) != len(training):
        raise InputError(f"There are {len(groups)} groups for {len(training)} training images.")
    order = in_turn(groups, rng(seed, "ood"))
    tensors = _covariance(unit_length(training[order[:_COVARIANCE]]))
    tensors["reference"] = unit_length(training[order[:_REFERENCES]]).astype(np.float32)
    width, n = training.shape[1], len(held_out)
    accepts = _accepts(rank, n)

    def card(mahalanobis: float, nearest: float) -> OodCard:
        counts = (acceptance, accepts, len(training), n)
        return OodCard(width, _NEIGHBOURS, mahalanobis, nearest, *counts)

    found = Ood(card(1.0, 1.0), tensors).distances(held_out)
    each = np.quantile(found, acceptance, axis=0)  # [2]
    if (each <= _ROUNDING).any():
        raise InputError(
            "The held-out images have the same features as training images.",
            expected="images of other patients or slides than those of training",
        )
    both = float(np.sort((found / each).max(axis=1))[rank - 1]) * (1 + _SLACK)
    return Ood(card(float(each[0]) * both, float(each[1]) * both), tensors)


def _check_counts(training: int, held_out: int, acceptance: float) -> int:
    """Return the rank of the held-out score that is the limit."""
    least = math.ceil(acceptance / (1 - acceptance) - 1e-9)
    if training < LEAST_TRAINING or held_out < least:
        raise InputError(
            f"{training} training and {held_out} held-out images are too few to tell own images "
            "from strange ones.",
            expected=f"at least {LEAST_TRAINING} training images, and {least} held-out images to "
            f"accept {acceptance:.0%}",
        )
    return math.ceil((held_out + 1) * acceptance - 1e-9)


def _features(given: ArrayLike, which: str) -> Floats:
    features = np.asarray(given, np.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError(
            f"The {which} features have the shape {features.shape}.", expected="[images, values]"
        )
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise InputError(
            f"The features of {len(bad)} {which} images hold values that are not numbers.",
            rows=[f"row {row}" for row in bad],
            fix="the training has diverged; lower the learning rate.",
        )
    return features


def in_turn(groups: Sequence[str | int], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return all rows, int64 [n]: one of each group in random order, then the second of each, …"""
    order = generator.permutation(len(groups))
    seen: dict[str | int, int] = {}
    turn = np.empty(len(groups), np.int64)
    for place, row in enumerate(order):
        turn[place] = seen[groups[row]] = seen.get(groups[row], -1) + 1
    return np.asarray(order[np.argsort(turn, kind="stable")], np.int64)


def _covariance(unit: Floats) -> Tensors:
    """Return `mean`, `projection` and `precision` of features [n, d] of unit length.

    The eigenvectors of the largest eigenvalues are kept, at most 128; the variance of the others
    is replaced by its mean (as in probabilistic principal components, Tipping and Bishop 1999).
    With d of at most 128 and n > d the distance is exactly that of the Ledoit-Wolf covariance.
    """
    from scipy.linalg import eigh
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, d = unit.shape
    mean = unit.mean(axis=0)
    offset = unit - mean
    average = float((offset**2).sum()) / (n * d)
    if average <= _TINY / d:
        raise InputError(
            f"The features of all {n} training images are the same.",
            fix="the network tells no image from another; train it again.",
        )
    shrinkage = float(ledoit_wolf_shrinkage(offset, assume_centered=True))
    wide = n <= d
    gram = (offset @ offset.T if wide else offset.T @ offset) / n
    side = len(gram)
    values, vectors = eigh(gram, subset_by_index=(max(0, side - _DIRECTIONS), side - 1))
    kept = values > 1e-9 * values[-1]
    values, vectors = values[kept], vectors[:, kept]  # [r], [n or d, r]
    projection = offset.T @ vectors / np.sqrt(n * values) if wide else vectors  # [d, r]
    along = (1 - shrinkage) * values + shrinkage * average
    over = d - len(values)
    left = max(d * average - float(values.sum()), 0.0) / max(over, 1)
    rest = max((1 - shrinkage) * left + shrinkage * average, 1e-6 * average)
    return {
        "mean": mean.astype(np.float32),
        "projection": projection.astype(np.float32),
        "precision": (1 / np.append(along, rest)).astype(np.float32),
    }


def _accepts(rank: int, n: int) -> Share:
    from scipy.stats import beta

    low, high = beta.ppf([0.025, 0.975], rank, n + 1 - rank)
    return Share(rank / (n + 1), float(low), float(high))


def _check_tensors(card: OodCard, tensors: Tensors) -> None:
    d, problems = card.width, []
    directions = tensors["projection"].shape[-1] if "projection" in tensors else 0
    kept = len(tensors["reference"]) if "reference" in tensors else 0
    shapes = {
        "mean": (d,),
        "precision": (directions + 1,),
        "projection": (d, directions),
        "reference": (kept, d),
    }
    for name in sorted({*shapes, *tensors}):
        if name not in tensors:
            problems.append(f"{name} is missing")
        elif name not in shapes:
            problems.append(f"{name} is unknown")
        elif tensors[name].shape != shapes[name] or tensors[name].dtype != np.float32:
            problems.append(
                f"{name} is {tensors[name].dtype} {tensors[name].shape}, "
                f"expected float32 {shapes[name]}"
            )
    if not problems and not 1 <= card.neighbours <= kept:
        problems.append(f"neighbours is {card.neighbours}, with {kept} references")
    if not min(card.mahalanobis, card.nearest) > 0:
        problems.append("a limit is not above 0")
    if problems:
        raise InputError("The statistics of out-of-distribution do not fit.", rows=problems)
