"""Whether a map depends on what the network has learned: randomise it and look again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cytolens.core.errors import InputError
from cytolens.core.progress import Progress, Silent
from cytolens.explain.explanation import Explanation
from cytolens.explain.judgement.forgetting import Forgetting
from cytolens.explain.judgement.stages import stages
from cytolens.explain.methods.method import Method
from cytolens.explain.subject import Subject
from cytolens.explain.targets import Target

THRESHOLD = 0.5


@dataclass(frozen=True)
class StageSimilarity:
    """How like the original maps are after a stage and all above it were randomised.

    Attributes:
        stage: name.
        similarity: mean over the images of |Spearman's correlation| with the original map.
        flat: maps that had become empty or constant, for the target and its negative alike; each
            counts as 0.
    """

    stage: str
    similarity: float
    flat: int


@dataclass(frozen=True)
class Sanity:
    """The course of the randomisation, from the head to the input.

    Attributes:
        images: with an original map that can be compared.
        stages: in order; the last has no learned weight left.
    """

    images: int
    stages: tuple[StageSimilarity, ...]

    @property
    def passed(self) -> bool:
        """Whether the fully randomised network gives other maps.

        The mean |correlation| must lie below 0.5: less than a quarter of the variance of the ranks
        is then common. It is not asked to be 0: a random network still sees where the cell ends
        and the background begins, and maps of a few cells are like one another by chance. A method
        that draws the image's edges, whatever the network, stays near 1.
        """
        return self.stages[-1].similarity < THRESHOLD


def sanity(
    subject: Subject,
    images: NDArray[np.uint8],
    targets: Sequence[Target],
    methods: Sequence[Method],
    originals: Mapping[str, Sequence[Explanation]] | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Sanity | str]:
    """Randomise a copy of the network in a cascade, head first (Adebayo et al. 2018, section 3.1).

    Stages are those of `stages.stages`; each adds to those before. All methods see the same random
    networks, so an engine is compiled once a stage. A method that draws at random keeps its seed,
    and one that chose a layer keeps the layer: what changes in its maps comes from the weights.

    Args:
        images: uint8 [n, H, W, 3]; a few (up to about 8) are enough.
        targets: one an image.
        methods: with different names.
        originals: explanations of these images by each method's name; None: they are made.

    Returns:
        by the method's name; where it could not be tested, a sentence that says why.

    Raises:
        InputError: no image, or images of another size.
    """
    if not len(images):
        raise InputError("There is no image to compare maps of.")
    subject.check(images, targets)
    known = originals or {m.name: m.explain(subject, images, targets) for m in methods}
    course = {m.name: _Course(m, known[m.name]) for m in methods}
    body, head = copy.deepcopy(subject.body), copy.deepcopy(subject.head)
    copied = subject.over(body, head).whole
    cascade, forgetting = stages(copied), Forgetting(copied, images)
    with (progress or Silent()).task(
        "sanity: randomised networks", len(cascade) * len(course)
    ) as step:
        for stage in cascade:
            forgetting.forget(stage, seed)
            # A fresh subject for each stage: an engine keeps the weights it was compiled with.
            random = subject.over(body, head)
            for one in course.values():
                one.add(stage.name, random, images, targets)
                step()
    return {name: one.result for name, one in course.items()}


def similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return |Spearman's correlation| of two maps; 0 where one of them is constant.

    Without the sign: the same picture in reverse still shows the image, not the network.
    """
    if not (_varies(first) and _varies(second)):
        return 0.0
    ranks = [rankdata(one) for one in (first, second)]
    return float(abs(np.corrcoef(*ranks)[0, 1]))


def _varies(values: NDArray[np.float32]) -> bool:
    return bool(values.min() < values.max())


class _Course:
    """One method on its way through the cascade."""

    def __init__(self, method: Method, originals: Sequence[Explanation]) -> None:
        layer = originals[0].layer
        if layer is not None and hasattr(method, "layer"):
            # "auto" looks at what the weights hear of a layer: it could choose another one later.
            method = replace(method, layer=layer)  # type: ignore[type-var]
        self._method = method
        self._maps = [one.map for one in originals]
        self._told = [i for i, one in enumerate(self._maps) if _varies(one)]
        self._stages: list[StageSimilarity] = []
        self._problem = "" if self._told else "every map is empty or constant"

    def add(
        self, stage: str, random: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> None:
        if self._problem:
            return
        own = [targets[i] for i in self._told]
        try:
            after = self._maps_of(random, images[self._told], own)
        except InputError as problem:
            self._problem = f"a randomised network could not be explained: {problem.what}"
            return
        values = [similarity(self._maps[i], one) for i, one in zip(self._told, after, strict=True)]
        flat = sum(not _varies(one) for one in after)
        self._stages.append(StageSimilarity(stage, float(np.mean(values)), flat))

    def _maps_of(
        self, random: Subject, images: NDArray[np.uint8], targets: Sequence[Target]
    ) -> list[NDArray[np.float32]]:
        """Explain each target, or its negative where a rectified map is empty.

        A random head gives a target either sign; that one of them leaves nothing is no change.
        """
        maps = [one.map for one in self._method.explain(random, images, targets)]
        flat = [i for i, one in enumerate(maps) if not _varies(one)]
        if flat:
            negative = [
                replace(targets[i], weights=tuple(-w for w in targets[i].weights)) for i in flat
            ]
            again = self._method.explain(random, images[flat], negative)
            for i, one in zip(flat, again, strict=True):
                maps[i] = one.map
        return maps

    @property
    def result(self) -> Sanity | str:
        return self._problem or Sanity(len(self._told), tuple(self._stages))
