"""The first screen: how well it works, in words, and what forbids believing it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cytolens.report.run_folder import RunFolder, level_text
from cytolens.report.text import (
    Score,
    bounds,
    counted,
    interval_text,
    number,
    percent,
    percent_text,
    thousands,
)
from cytolens.report.views.names import HEADLINE, OVERALL

UNIT_WORDS = {
    "group": "its group (patient or slide)",
    "near-duplicate cluster": "its near duplicates",
    "image": "the image itself",
}
_NO_REASON = (
    "The run follows the published protocol, which does not keep the images of a patient, "
    "duplicates and augmented copies on one side."
)


@dataclass(frozen=True)
class Tile:
    """One large number."""

    title: str
    value: str
    interval: str
    words: str


@dataclass(frozen=True)
class Headline:
    """`reasons` is empty unless the numbers leak; `notes` are fallbacks that took place."""

    lead: str
    sentences: list[str]
    tiles: list[Tile]
    reasons: list[str]
    notes: list[str]


def headline(run: RunFolder) -> Headline:
    """Say what the run found."""
    reasons = run.leaks or ([_NO_REASON] if run.published else [])
    return Headline(
        lead=_lead(run),
        sentences=list(_sentences(run)),
        tiles=[_tile(name, run.metrics.get(name)) for name in HEADLINE],
        reasons=reasons,
        notes=[str(note) for note in run.environment.get("notes") or []],
    )


def _lead(run: RunFolder) -> str:
    accuracy = run.metrics["accuracy"]
    value, low, _ = bounds(accuracy)
    images = counted(run.metrics["n"], "test image")
    if value is None:
        return f"The accuracy on {images} is undefined."
    share = percent(value)
    if low is None:
        return f"The model names {share} of {images} correctly."
    _, low, high = bounds(accuracy)
    return (
        f"The model names {share} of {images} correctly "
        f"({level_text(run)} {percent(low)} to {percent(high)})."
    )


def _sentences(run: RunFolder) -> Iterator[str]:
    unit = str((run.metrics.get("interval") or {}).get("unit", "image"))
    if run.stamped:
        yield (
            "This says how well it recognises what it has met before, not how well it does on a "
            "new patient."
        )
    else:
        seen = UNIT_WORDS.get(unit, "the image itself")
        if str((run.split or {}).get("kind")) == "lodo":
            seen = "the data set that it stands in"
        yield f"Each image was judged by a model whose training had seen nothing of {seen}."
    if baseline := _baseline(run):
        yield baseline
    if weakest := _weakest(run):
        yield weakest
    ece = bounds(run.metrics.get("ece"))[0]
    if ece is not None:
        yield (
            f"Its stated confidence is {number(100 * ece, 1)} percentage points off on average "
            "(calibration error)."
        )


def _baseline(run: RunFolder) -> str:
    support = [sum(row) for row in run.metrics.get("confusion") or []]
    if not sum(support):
        return ""
    most = max(range(len(support)), key=support.__getitem__)
    return (
        f"Always answering {run.classes[most]}, the most frequent class, would be right in "
        f"{percent(support[most] / sum(support))}."
    )


def _weakest(run: RunFolder) -> str:
    per_class = run.metrics.get("per_class") or {}
    recalls = {
        name: value
        for name in run.classes
        if (value := bounds(per_class.get(name, {}).get("recall"))[0]) is not None
    }
    if len(recalls) < 2:
        return ""
    name = min(recalls, key=recalls.__getitem__)
    said = (
        f"The weakest class is {name}: {percent_text(per_class[name]['recall'])} of its "
        f"{counted(per_class[name]['support'], 'image')} are found"
    )
    place = run.classes.index(name)
    row = [0 if i == place else count for i, count in enumerate(run.metrics["confusion"][place])]
    if max(row) == 0:
        return f"{said}."
    taken = run.classes[row.index(max(row))]
    return f"{said}; the most frequent error is to take it for {taken} ({thousands(max(row))})."


def _tile(name: str, score: Score) -> Tile:
    return Tile(
        title=OVERALL[name].title,
        value=number(bounds(score)[0]),
        interval=interval_text(score),
        words=OVERALL[name].words,
    )
