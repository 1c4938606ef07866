"""The honest and the published protocol side by side: the gap, and why there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import (
    Score,
    bounds,
    counted,
    interval_text,
    number,
    percent,
    signed_text,
    thousands,
)
from cytolens.report.views.names import OVERALL, GapRow


@dataclass(frozen=True)
class Compared:
    """One row of the table: both protocols with their intervals, and the gap with its own."""

    title: str
    published: tuple[str, str]
    honest: tuple[str, str]
    gap: tuple[str, str]


@dataclass(frozen=True)
class Gap:
    """`rows` are for the figure, `table` for the page, `why` sentences with counts."""

    lead: str
    meaning: str
    why: list[str]
    reasons: list[str]
    rows: list[GapRow]
    table: list[Compared]


def gap(honest: RunFolder, published: RunFolder, difference: Mapping[str, Score]) -> Gap:
    """Compare two runs of one recipe; `difference` is published - honest, by metric."""
    keys = [key for key in ("accuracy", "macro_f1", "auc") if key in difference]
    keys += [key for key in OVERALL if key in difference and key not in keys]
    return Gap(
        lead=_lead(honest, published, difference.get("accuracy")),
        meaning=_meaning(difference.get("accuracy")),
        why=list(_why(honest, published)),
        reasons=published.leaks,
        rows=[
            GapRow(
                OVERALL[key].title,
                published.metrics.get(key),
                honest.metrics.get(key),
                signed_text(difference[key]),
            )
            for key in keys
        ],
        table=[_compared(key, honest, published, difference[key]) for key in keys],
    )


def _lead(honest: RunFolder, published: RunFolder, difference: Score) -> str:
    one, other = published.metrics["accuracy"], honest.metrics["accuracy"]
    said = (
        f"Scored as the papers do, the model names {percent(bounds(one)[0])} of the images "
        f"correctly; scored on {_unknown(honest)}, {percent(bounds(other)[0])}."
    )
    value, low, high = bounds(difference)
    if value is None:
        return said
    points = f"{number(abs(100 * value), 1)} percentage points"
    if low is None or high is None:
        return f"{said} The gap is {points}."
    span = f"{percent(0.95, 0)} interval {_points(low)} to {_points(high)}"
    return f"{said} The gap is {points} ({span})."


def _unknown(honest: RunFolder) -> str:
    unit = (honest.metrics.get("interval") or {}).get("unit")
    return "patients it has never met" if unit == "group" else "images kept apart from training"


def _points(share: float) -> str:
    return number(100 * share, 1)


def _meaning(difference: Score) -> str:
    value, low, high = bounds(difference)
    if value is None or low is None or high is None:
        return "Both numbers come from the same images and the same recipe."
    same = (
        "Same images, same recipe; what differs is when images are augmented and what "
        "may stand on both sides of the split."
    )
    if low > 0:
        return f"{same} The gap is not skill on new patients: it is what leakage adds."
    if high < 0:
        return f"{same} Here the honest number is the higher one, which leakage cannot explain."
    return f"{same} The interval of the gap holds 0: this run is too small to show an inflation."


def _compared(key: str, honest: RunFolder, published: RunFolder, difference: Score) -> Compared:
    def cell(score: Score) -> tuple[str, str]:
        return number(bounds(score)[0]), interval_text(score)

    signed = signed_text(difference).split(" (")[0]
    return Compared(
        OVERALL[key].title,
        cell(published.metrics.get(key)),
        cell(honest.metrics.get(key)),
        (signed, interval_text(difference)),
    )


def _why(honest: RunFolder, published: RunFolder) -> Iterator[str]:
    """Say, with counts from the two splits, what stands on both sides."""
    tested, siblings, grouped, neighbours = _overlap(published)
    if siblings:
        yield (
            "The published protocol augments first and splits afterwards: "
            f"{thousands(siblings)} of {counted(tested, 'test image')} "
            f"({percent(siblings / tested, 0)}) have a turned, shifted or zoomed copy of "
            "themselves in the training part. To recognise those is memory, not diagnosis."
        )
    if neighbours:
        yield (
            f"It also ignores who the images come from: {thousands(neighbours)} of "
            f"{counted(grouped, 'test image')} ({percent(neighbours / grouped, 0)}) belong to a "
            "patient or slide with other images in the training part, of the same cells, stain "
            "and light."
        )
    yield (
        f"The honest protocol splits first, keeps {_together(honest)} on one side, augments "
        "training images only, and scores every original image exactly once "
        f"({counted(honest.metrics['n'], 'image')})."
    )


def _together(honest: RunFolder) -> str:
    unit = (honest.metrics.get("interval") or {}).get("unit")
    return "all images of a patient or slide" if unit == "group" else "near duplicates"


def _overlap(run: RunFolder) -> tuple[int, int, int, int]:
    """Count test images: all, with a sibling in training, with a group, with it in training."""
    tested = siblings = grouped = neighbours = 0
    for fold in (run.split or {}).get("folds") or []:
        training = [*(fold.get("train") or []), *(fold.get("validation") or [])]
        origins = {run.index.origin(name) for name in training}
        groups = {run.index.value(name, "group") for name in training} - {None}
        for name in fold.get("test") or []:
            group = run.index.value(name, "group")
            tested += 1
            siblings += run.index.origin(name) in origins
            grouped += group is not None
            neighbours += group in groups
    return tested, siblings, grouped, neighbours
