"""What the methods share that explain an image by itself, against a baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.explain.explanation import Explanation
from cytolens.explain.methods.method import Map, Method, Stopwatch, settings_of
from cytolens.explain.subject import CHUNK, Subject
from cytolens.explain.targets import Target

RESOLUTION = 1e-6  # of a probability: what lies below is the rounding of float32 scores

Colour = Literal["mean", "black"]  # "mean": of the network, where its normalised input is 0


@dataclass(frozen=True)
class Outcome:
    """What a method found in one image; see `Explanation` for the fields."""

    map: Map
    facts: Mapping[str, float] = field(default_factory=dict)
    segments: NDArray[np.int32] | None = None
    layer: str | None = None


def one_by_one(
    method: Method,
    subject: Subject,
    images: NDArray[np.uint8],
    targets: Sequence[Target],
    explain: Callable[[NDArray[np.uint8], Target], Outcome],
    fast: bool = True,
) -> list[Explanation]:
    """Explain each image of a batch by itself, so that a map is the same in any batch.

    Args:
        explain: one uint8 image [H, W, 3] and its target -> what was found.
        fast: whether the method asks for fast scores: then the engine is compiled before the clock
            starts, because its seconds are no image's.
    """
    subject.check(images, targets)
    if fast and len(images):
        _ = subject.engine
    settings = settings_of(method)
    explanations: list[Explanation] = []
    for image, target in zip(images, targets, strict=True):
        watch = Stopwatch(1)
        found = explain(image, target)
        explanations.append(
            Explanation(
                found.map,
                method.name,
                target.name,
                settings,
                watch.seconds,
                layer=found.layer,
                facts=found.facts,
                segments=found.segments,
            )
        )
    return explanations


def colour_of(subject: Subject, name: Colour) -> NDArray[np.float32]:
    """Return a baseline's colour, float32 [3] of 0…255."""
    return subject.mean_colour if name == "mean" else np.zeros(3, np.float32)


def chunks(count: int) -> Iterator[slice]:
    """Yield `count` perturbed images in pieces that fit into memory."""
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def probabilities(
    subject: Subject,
    image: NDArray[np.uint8],
    masks: Iterable[NDArray[np.float32]],
    target: Target,
    baseline: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the target in probability, [M], of an image seen through batches of masks [m, H, W].

    Where no mask changes a probability by more than `RESOLUTION`, all values are the first one,
    so that rounding is not taken for an explanation and the map is empty.

    Raises:
        InputError: values that are not finite.
    """
    values = target.in_probability()(subject.masked_scores(image, masks, baseline))
    if not np.isfinite(values).all():
        raise InputError(
            "The network's scores of perturbed images are not finite.",
            rows=[f"{np.count_nonzero(~np.isfinite(values))} of {len(values)}"],
            fix="look at the model's weights.",
        )
    if np.ptp(values) <= RESOLUTION * max(map(abs, target.weights)):
        values[:] = values[0]
    return values


def wrong_baseline(name: str, known: object = Colour) -> list[str]:
    """Return a row for `refuse` when a baseline is not one of the `known` (a Literal)."""
    names = get_args(known)
    return [] if name in names else [f"baseline = {name}: one of {', '.join(names)}"]


def refuse(method: str, wrong: Sequence[str]) -> None:
    """Refuse settings of a method.

    Args:
        wrong: a row a wrong setting; none: nothing happens.

    Raises:
        InputError: all rows at once.
    """
    if wrong:
        raise InputError(f"{method} has no meaning with these settings.", rows=wrong)
