"""LIME: a linear stand-in for the network, fitted to what it says of an image in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cytolens.core.seeding import rng
from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import METHODS, draws_for
from cytolens.explain.methods.perturbation import (
    Outcome,
    chunks,
    colour_of,
    one_by_one,
    probabilities,
    refuse,
    wrong_baseline,
)
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

_SPLITS = 8  # ways in which the samples are halved, to tell stability

Array = NDArray[np.float64]
Ground = Literal["superpixel", "mean", "black"]


@dataclass(frozen=True)
class Lime:
    """Coefficients of a ridge regression on superpixels shown or hidden: Ribeiro et al. 2016.

    Samples show each superpixel or hide it, by a fair coin; the first shows all. The target's
    probability is regressed on them, a sample at cosine distance d from the whole image weighing
    exp(-d² / (2 · width²)) (section 3.3; the settings are those of the authors' library). A
    coefficient, painted onto its superpixel, is the probability that showing it adds.

    Facts: "superpixels", how many there are; "compactness", what they were made with
    (`superpixels`); "r2", the weighted R² of the fit; "stability", the correlation (Pearson) of the
    coefficients that is to be expected between two runs with different seeds. With one seed it is
    told from the samples at hand: these are halved, the correlation r of the two halves' fits is
    stepped up to the whole as 2r / (1 + r) (Spearman 1910, Brown 1910), and eight ways of halving
    are averaged. With more seeds it is the mean correlation over their pairs. The last two are left
    out where undefined: values that never change have no R².

    An image of which nothing can be hidden (each superpixel looks like its baseline, as in an image
    of one colour), or of one superpixel, has a map of zeros.

    Attributes:
        segments: superpixels asked of SLIC (Achanta et al. 2012); it gives about as many.
        compactness: of superpixels: low follows colour, high makes squares.
        samples: perturbed images, each seed.
        baseline: what a hidden superpixel shows: its own mean colour, "mean" of the network or
            "black".
        width: of the kernel.
        alpha: of the ridge.
        seeds: independent runs; the map is made of their mean coefficients.
        seed: of the draws; each image has its own.
    """

    name: ClassVar[str] = "lime"
    title: ClassVar[str] = "LIME"
    source: ClassVar[str] = "Ribeiro et al. 2016"
    signed: ClassVar[bool] = True
    seeded: ClassVar[bool] = True

    segments: int = 50
    compactness: float = 10.0
    samples: int = 1000
    baseline: Ground = "superpixel"
    width: float = 0.25
    alpha: float = 1.0
    seeds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"segments": 2, "samples": 2, "seeds": 1}
        wrong = [
            f"{name} = {getattr(self, name)}: at least {smallest}"
            for name, smallest in least.items()
            if getattr(self, name) < smallest
        ]
        wrong += [
            f"{name} = {getattr(self, name):g}: above 0"
            for name in ("compactness", "width", "alpha")
            if not getattr(self, name) > 0
        ]
        refuse(self.name, wrong + wrong_baseline(self.baseline, Ground))

    def explain(
        self, subject: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[Explanation]:
        def one(image: NDArray[np.uint8], target: Target) -> Outcome:
            labels, compactness = superpixels(image, self.segments, self.compactness)
            count = int(labels.max()) + 1
            facts = {"superpixels": float(count), "compactness": compactness}
            if self.baseline == "superpixel":
                ground = mean_colours(image, labels)
            else:
                ground = colour_of(subject, self.baseline)
            if count < 2 or (image == ground).all():
                return Outcome(np.zeros(subject.size, np.float32), facts, labels)
            runs = []
            for number in range(self.seeds):
                draws = draws_for(self.name, self.seed + number, image)
                shown = _coins(draws, self.samples, count)
                masks = _masks(shown, labels)
                runs.append((shown, probabilities(subject, image, masks, target, ground)))
            return self._outcome(runs, labels, facts)

        return one_by_one(self, subject, images, targets, one)

    def _outcome(
        self,
        runs: Sequence[tuple[NDArray[np.float32], Array]],
        labels: NDArray[np.int32],
        facts: Mapping[str, float],
    ) -> Outcome:
        """Fit each run's samples [n, S] and values [n], and paint the mean coefficients."""
        fits = [fit(shown, values, self.width, self.alpha) for shown, values in runs]
        coefficients = [found for found, _ in fits]
        r2 = [score for _, score in fits if score is not None]
        if self.seeds > 1:
            pairs = [correlation(a, b) for a, b in combinations(coefficients, 2)]
        else:
            pairs = [self._halved(*runs[0], number) for number in range(_SPLITS)]
        known = {"r2": r2, "stability": [pair for pair in pairs if pair is not None]}
        said = {name: float(np.mean(values)) for name, values in known.items() if values}
        mean = np.mean(coefficients, axis=0).astype(np.float32)
        return Outcome(mean[labels], {**facts, **said}, labels)

    def _halved(self, shown: NDArray[np.float32], values: Array, number: int) -> float | None:
        """Return the expected correlation of two whole runs, from one way of halving this one."""
        order = rng(self.seed, "explain", "lime halves", number).permutation(len(shown))
        halves = np.array_split(order, 2)
        first, second = (fit(shown[h], values[h], self.width, self.alpha)[0] for h in halves)
        r = correlation(first, second)
        # Stepping up has no meaning below 0: a correlation of chance alone stays as it is.
        return r if r is None or r <= 0 else 2 * r / (1 + r)


def superpixels(
    image: NDArray[np.uint8], segments: int, compactness: float
) -> tuple[NDArray[np.int32], float]:
    """Return superpixels (SLIC in Lab colours) and the compactness they were made with.

    In a noisy image low compactness gives fragments, which SLIC merges into a few large pieces or
    one: it is raised tenfold, three times at most, until a third of `segments` are there.

    Returns:
        int32 [H, W], numbered from 0 without gaps; the compactness.
    """
    from skimage.segmentation import slic

    for used in (compactness * factor for factor in (1, 10, 100, 1000)):
        found = slic(image, n_segments=segments, compactness=used, start_label=0)
        names, labels = np.unique(found, return_inverse=True)
        if 3 * len(names) >= segments:
            break
    return labels.reshape(found.shape).astype(np.int32), used


def mean_colours(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return an image in which each superpixel has its mean colour, float32 [H, W, 3]."""
    flat = labels.ravel()
    sums = [np.bincount(flat, image[..., colour].ravel()) for colour in range(3)]
    means = np.stack(sums, axis=1) / np.bincount(flat)[:, None]  # [S, 3]
    return means.astype(np.float32)[labels]


def fit(
    shown: NDArray[np.float32], values: Array, width: float, alpha: float
) -> tuple[Array, float | None]:
    """Fit the weighted ridge with an intercept that is not penalised.

    Args:
        shown: [n, S], 1 where a sample shows a superpixel.
        values: [n].

    Returns:
        Coefficients [S] and weighted R², None where the values never change.
    """
    x = shown.astype(np.float64)
    # Cosine of a row of ones and zeros with the row of ones; no superpixel shown counts as 0.
    distance = 1 - np.sqrt(x.mean(axis=1))
    kernel = -(distance**2) / (2 * width**2)
    weights = np.exp(kernel - kernel.max())  # the whole image weighs 1; never all 0
    total = weights.sum()
    apart = x - weights @ x / total
    changes = values - values[0]  # exactly 0 where the values never change
    residue = changes - weights @ changes / total
    weighted = apart * weights[:, None]
    coefficients = np.linalg.solve(
        apart.T @ weighted + alpha * np.eye(x.shape[1]), weighted.T @ residue
    )
    spread = float(weights @ residue**2)
    if spread == 0:
        return coefficients, None
    return coefficients, 1 - float(weights @ (residue - apart @ coefficients) ** 2) / spread


def correlation(first: Array, second: Array) -> float | None:
    """Return Pearson's correlation; None where one side is constant."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else None


def _coins(draws: np.random.Generator, samples: int, count: int) -> NDArray[np.float32]:
    """Draw which superpixels are shown, [samples, count] of 1 and 0; the first row shows all."""
    shown = draws.integers(0, 2, (samples, count)).astype(np.float32)
    shown[0] = 1
    return shown


def _masks(shown: NDArray[np.float32], labels: NDArray[np.int32]) -> Iterator[NDArray[np.float32]]:
    """Yield masks [m, H, W] of samples [n, S]."""
    for part in chunks(len(shown)):
        yield np.take(shown[part], labels, axis=1)


METHODS.register("lime", Lime)
