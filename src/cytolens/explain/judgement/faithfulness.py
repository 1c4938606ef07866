"""Whether a map names what the network looks at: take it away, or show it alone, and see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.explain.explanation import Explanation
from cytolens.explain.judgement.order import pixel_order
from cytolens.explain.subject import CHUNK, Subject
from cytolens.explain.targets import Target

Floats = NDArray[np.float64]
Start = Literal["blur", "mean"]

STEPS = 32
_BLUR = 1 / 16  # standard deviation of the blur, as a part of the shorter side


@dataclass(frozen=True)
class Curves:
    """The target's probability while an image is taken away, and while it is shown.

    Attributes:
        fractions: float64 [steps + 1], the share of pixels taken away or shown, 0 … 1.
        deletion: float64 [steps + 1], from the whole image to the mean colour.
        insertion: float64 [steps + 1], from the blurred image to the whole one.
    """

    fractions: Floats
    deletion: Floats
    insertion: Floats

    @property
    def deletion_auc(self) -> float:
        """Area under the curve: low where the map names what the decision needs."""
        return _area(self.fractions, self.deletion)

    @property
    def insertion_auc(self) -> float:
        """Area under the curve: high where what the map names is enough for the decision."""
        return _area(self.fractions, self.insertion)


def deletion_insertion(
    subject: Subject,
    image: NDArray[np.uint8],
    explanation: Explanation,
    target: Target,
    *,
    steps: int = STEPS,
    start: Start = "blur",
    seed: int = 0,
) -> Curves:
    """Take the pixels away, and show them, in the order of the map (Petsiuk et al. 2018).

    Deletion replaces pixels by the network's mean colour. Insertion puts them into a blurred
    image ("blur": Petsiuk's choice, there are no sharp edges that are not the image's) or into the
    mean colour ("mean"). Both go through the fast engine, 2 · steps + 1 images.

    Args:
        image: uint8 [H, W, 3], as the network sees it.
        target: measured on probabilities, whatever space it was explained in.
        steps: equal steps from no pixel to all of them.
        start: what insertion starts from.
        seed: of the order of pixels that the map ranks equally.

    Raises:
        InputError: an image of another size, fewer than 1 step or more than pixels.
    """
    subject.check(image[None], [target])
    pixels = explanation.map.size
    if not 1 <= steps <= pixels:
        raise InputError(
            f"{steps} steps for an image of {pixels} pixels.", expected=f"1 to {pixels}"
        )
    order = pixel_order(explanation.map, image, seed)
    place = np.argsort(order).reshape(explanation.map.shape)  # [H, W], 0 is looked at first
    counts = np.round(np.linspace(0, pixels, steps + 1)).astype(np.int64)

    def removed() -> Iterator[NDArray[np.float32]]:
        for part in _chunks(counts):
            yield (place >= part[:, None, None]).astype(np.float32)  # [m, H, W]

    def shown() -> Iterator[NDArray[np.float32]]:
        for part in _chunks(counts[:-1]):  # all of them is the whole image: measured already
            yield (place < part[:, None, None]).astype(np.float32)

    probability = target.in_probability()
    deletion = probability(subject.masked_scores(image, removed()))
    ground = blurred(image) if start == "blur" else None
    insertion = probability(subject.masked_scores(image, shown(), ground))
    return Curves(counts / pixels, deletion, np.append(insertion, deletion[0]))


def blurred(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Blur an image until no texture is left: float32 [H, W, 3].

    Gaussian, standard deviation 1/16 of the shorter side (14 at 224 px). Petsiuk et al. take 5 px
    in a window of 11: on Herlev that leaves a fine-tuned MobileNetV2 at .41 of a probability of
    .56, this one at .26 (stronger blurs too), the mean colour at .18.
    """
    sigma = _BLUR * min(image.shape[:2])
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma))


def shown_by_the_map(
    subject: Subject,
    images: NDArray[np.uint8],
    explanations: Sequence[Explanation],
    targets: Sequence[Target],
) -> tuple[Floats, Floats]:
    """Return the targets' probabilities for whole images, and seen through their maps: [N] each.

    A pixel is shown as far as the positive part of the map, scaled from its least to its greatest
    value to 0 … 1, allows; the rest is the mean colour (Chattopadhay et al. 2018 have black).
    This scaling belongs to the measure; elsewhere maps keep their magnitude. An empty or constant
    map shows nothing.
    """
    mean = subject.mean_colour

    def seen() -> Iterator[NDArray[np.float32]]:
        for first in range(0, len(images), CHUNK // 2):
            part = slice(first, first + CHUNK // 2)
            whole = images[part].astype(np.float32)  # [m, H, W, 3]
            masks = np.stack([_scaled(one.positive) for one in explanations[part]])
            yield np.concatenate([whole, masks[..., None] * (whole - mean) + mean])

    before, after = [], []
    for scores in subject.fast_scores(seen()):
        half = len(scores) // 2
        before.append(scores[:half])
        after.append(scores[half:])
    return _values(targets, np.concatenate(before)), _values(targets, np.concatenate(after))


def average_drop(before: Floats, after: Floats) -> Floats:
    """Return how much of each probability the map loses, max(0, Y - O) / Y as a share, [N].

    Chattopadhay et al. 2018, section 4.1.1, before the mean and without the factor 100; NaN where
    the whole image has no probability to lose.
    """
    possible = before > 0
    lost = np.maximum(before - after, 0)
    return np.where(possible, lost / np.where(possible, before, 1), np.nan)


def increase(before: Floats, after: Floats) -> Floats:
    """Return 1 where the probability is greater through the map, else 0, [N] (ibid., 4.1.2)."""
    return (after > before).astype(np.float64)


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _values(targets: Sequence[Target], scores: NDArray[np.float32]) -> Floats:
    rows = zip(targets, scores, strict=True)
    return np.array([target.in_probability()(row[None])[0] for target, row in rows])


def _chunks(counts: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(counts), CHUNK):
        yield counts[first : first + CHUNK]


def _area(fractions: Floats, values: Floats) -> float:
    """The trapezoidal rule."""
    return float(np.diff(fractions) @ (values[1:] + values[:-1]) / 2)
