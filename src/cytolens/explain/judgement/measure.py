"""One method measured on every case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress
from cytolens.explain.explanation import Explanation
from cytolens.explain.judgement.cases import Case
from cytolens.explain.judgement.faithfulness import (
    STEPS,
    Start,
    average_drop,
    deletion_insertion,
    increase,
    shown_by_the_map,
)
from cytolens.explain.judgement.plausibility import plausibility
from cytolens.explain.judgement.regions import REGIONS
from cytolens.explain.methods.method import Method
from cytolens.explain.subject import Subject

FAITHFULNESS = ("deletion", "insertion", "average_drop", "increase")
PLAUSIBILITY = tuple(f"{what}_{r}" for what in ("energy", "pointing", "iou") for r in REGIONS)
SCORES = (*FAITHFULNESS, *PLAUSIBILITY)

_BATCH = 16  # images explained at once


@dataclass(frozen=True)
class JudgeConfig:
    """How explanations are judged.

    Attributes:
        steps: of deletion and insertion.
        start: what insertion starts from.
        sanity_images: on how many images the randomised networks are explained; 0: not at all,
            and then no method is trusted.
    """

    steps: int = STEPS
    start: Start = "blur"
    sanity_images: int = 8

    def __post_init__(self) -> None:
        wrong = [f"steps = {self.steps}: at least 1"] if self.steps < 1 else []
        wrong += [] if self.start in ("blur", "mean") else [f"start = {self.start!r}: blur or mean"]
        if self.sanity_images < 0:
            wrong.append(f"sanity_images = {self.sanity_images}: 0 or more")
        if wrong:
            raise InputError("The judgement has wrong settings.", rows=wrong)


@dataclass(frozen=True)
class Measured:
    """What a method scored.

    Attributes:
        method: the method.
        table: float64 [cases, SCORES], NaN where undefined.
        seconds: mean of an explanation alone. The first image, which pays for opening the network,
            is left out where there are others.
        empty: maps that are zero everywhere.
        kept: explanations of the cases that sanity looks at.
    """

    method: Method
    table: NDArray[np.float64]
    seconds: float
    empty: int
    kept: tuple[Explanation, ...]


def measure(
    subject: Subject,
    cases: Sequence[Case],
    method: Method,
    keep: Sequence[int],
    config: JudgeConfig,
    seed: int,
    progress: Progress,
) -> Measured | str:
    """Explain and score every case; a string says why the method cannot explain this network.

    Args:
        keep: places of the cases whose explanations are handed back.
    """
    rows: list[NDArray[np.float64]] = []
    seconds: list[float] = []
    kept: dict[int, Explanation] = {}
    empty = 0
    with progress.task(f"judge: {method.title}", len(cases)) as step:
        for places in _batches(len(cases)):
            part = [cases[i] for i in places]
            images = np.stack([case.image for case in part])
            try:
                found = method.explain(subject, images, [case.target for case in part])
            except InputError as problem:
                return problem.what
            faithful = _faithfulness(subject, part, images, found, config, seed)
            for place, case, explanation, scores in zip(places, part, found, faithful, strict=True):
                rows.append(np.append(scores, _plausibility(case, explanation, seed)))
                seconds.append(explanation.seconds)
                empty += not explanation.map.any()
                if place in keep:
                    kept[place] = explanation
                step()
    warm = seconds[1:] or seconds
    maps = tuple(kept[place] for place in keep)
    return Measured(method, np.stack(rows), float(np.mean(warm)), empty, maps)


def _batches(count: int) -> Iterator[range]:
    """The first case alone: what is done once for a network is in its seconds, and no other's."""
    yield range(1)
    for start in range(1, count, _BATCH):
        yield range(start, min(count, start + _BATCH))


def _faithfulness(
    subject: Subject,
    cases: Sequence[Case],
    images: NDArray[np.uint8],
    found: Sequence[Explanation],
    config: JudgeConfig,
    seed: int,
) -> NDArray[np.float64]:
    """Return [n, FAITHFULNESS]."""
    curves = [
        deletion_insertion(
            subject,
            case.image,
            explanation,
            case.target,
            steps=config.steps,
            start=config.start,
            seed=seed,
        )
        for case, explanation in zip(cases, found, strict=True)
    ]
    before, after = shown_by_the_map(subject, images, found, [case.target for case in cases])
    columns = [
        np.array([one.deletion_auc for one in curves]),
        np.array([one.insertion_auc for one in curves]),
        average_drop(before, after),
        increase(before, after),
    ]
    return np.stack(columns, axis=1)


def _plausibility(case: Case, explanation: Explanation, seed: int) -> NDArray[np.float64]:
    """Return [PLAUSIBILITY], NaN where undefined."""
    if case.mask is None:
        return np.full(len(PLAUSIBILITY), np.nan)
    found = asdict(plausibility(explanation, case.mask, case.image, seed))
    return np.array([found[name] for name in PLAUSIBILITY], np.float64)  # None -> NaN
