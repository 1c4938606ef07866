"""Put methods to the test on a run's own test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cytolens.core.files import write_json
from cytolens.core.progress import Progress
from cytolens.experiments.explaining.choosing import draw
from cytolens.experiments.explaining.folder import JUDGEMENT
from cytolens.experiments.explaining.question import Question, costs_of
from cytolens.experiments.explaining.tested import Tested
from cytolens.explain import Method, Subject
from cytolens.explain.judgement import Case, judge

MOST = 100  # images, unless more are asked for
_RESAMPLES = 1000


def write_judgement(
    folder: Path,
    tested: Tested,
    subject: Subject,
    question: Question,
    methods: Sequence[Method],
    *,
    most: int,
    seed: int,
    progress: Progress,
) -> str:
    """Judge the methods on at most `most` test images of the bundle's fold; write `judgement.json`.

    Returns:
        a sentence that says which images these were.
    """
    chosen = tested.predictions.select(draw(tested.predictions, most, seed))
    classes, costs = tested.run.classes, costs_of(tested.run.metrics)
    targets = question.targets(chosen.ids, chosen.probabilities, classes, costs)
    cases = []
    for name, unit, target in zip(chosen.ids, chosen.units, targets, strict=True):
        [read] = tested.pixels([name])
        mask = tested.mask(name, (read.shape[0], read.shape[1]))
        cases.append(Case(name, unit, subject.prepare(read), mask, target))
    interval = tested.run.metrics.get("interval") or {}
    found = judge(
        subject,
        cases,
        methods,
        unit_name=str(interval.get("unit", "unit")),
        resamples=int(interval.get("resamples", _RESAMPLES)),
        seed=seed,
        progress=progress,
    )
    write_json(folder / JUDGEMENT, found)
    every = len(tested.predictions)
    drawn = "all" if len(cases) == every else f"{len(cases)}, drawn with seed {seed},"
    return f"Judged on {drawn} of the {every} test images of the first fold."
