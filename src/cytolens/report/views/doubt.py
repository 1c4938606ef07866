"""How far a run can be believed: corrected probabilities, sets of classes, what is left to it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import (
    bounds,
    counted,
    interval_text,
    number,
    percent,
    percent_text,
    score_text,
    thousands,
)
from cytolens.report.views.decisions import Decisions, decisions, split

KINDS = {
    "none": ("None", "the probabilities as the model states them"),
    "temperature": ("Temperature", "one number, which makes all answers surer or less sure"),
    "vector": ("Vector", "a factor and an offset for each class"),
    "isotonic": ("Isotonic", "a rising curve for each class"),
}
_SCORES = (
    ("ece", "Calibration error", "mean gap between confidence and truth (ECE)"),
    ("brier", "Brier score", "mean squared error of the probabilities"),
    ("log_loss", "Log-loss", "surprise at the truth, in nats"),
)


@dataclass(frozen=True)
class Change:
    """A score before and after the correction, each (value, interval); less is better."""

    title: str
    words: str
    before: tuple[str, str]
    after: tuple[str, str]


@dataclass(frozen=True)
class Candidate:
    """A correction that was tried, and its log-loss on images that it was not fitted on."""

    title: str
    words: str
    log_loss: str
    chosen: bool


@dataclass(frozen=True)
class Covered:
    """A class: its images, and how often their sets held it, (value, interval)."""

    name: str
    images: str
    coverage: tuple[str, str]


@dataclass(frozen=True)
class Left:
    """What could be left to the machine for a wanted share of wrong answers."""

    wanted: str
    confidence: str
    share: tuple[str, str]
    risk: tuple[str, str]


@dataclass(frozen=True)
class Doubt:
    """Sentences and tables of the section."""

    basis: str
    calibration: list[str]
    scores: list[Change]
    candidates: list[Candidate]
    sets: list[str]
    classes: list[Covered]
    level: str
    left: list[str]
    left_rows: list[Left]
    decisions: Decisions


def doubt(run: RunFolder) -> Doubt | None:
    """Return what `doubt.json` says; None without it."""
    found = run.doubt
    if found is None:
        return None
    calibration, conformal, risk = found["calibration"], found["conformal"], found["risk"]
    return Doubt(
        basis=_basis(run, found),
        calibration=list(_calibration(calibration)),
        scores=[_change(calibration, *score) for score in _SCORES],
        candidates=[
            Candidate(*_kind(name), number(loss), name == calibration["method"])
            for name, loss in calibration["candidates"].items()
        ],
        sets=list(_sets(conformal, run.classes)),
        classes=[
            Covered(name, thousands(row["n"]), split(row["coverage"]))
            for name, row in conformal["results"]["per_class"].items()
        ],
        level=percent(conformal["level"], 0),
        left=list(_left(risk)),
        left_rows=[_left_row(row) for row in risk["left"]],
        decisions=decisions(found),
    )


def chosen(risk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the wanted risks at which something could be left to the machine."""
    return [row for row in risk["left"] if (bounds(row["share"])[0] or 0.0) > 0]


def wanted_text(row: Mapping[str, Any]) -> str:
    """Return "at most 5 %"."""
    return f"at most {percent(row['wanted'], 0)}"


def _basis(run: RunFolder, found: Mapping[str, Any]) -> str:
    unit = str((run.metrics.get("interval") or {}).get("unit", "image"))
    said = (
        f"What follows is fitted to {counted(found['calibration']['n'], 'test image')}, and scored "
        f"on others than it was fitted to: over {found['fitted_on']}, none of which shares "
        f"{'an' if unit[0] in 'aeiou' else 'a'} {unit} with another."
    )
    if run.bundle:
        said += " The bundle carries what was fitted to all of them."
    return said


def _kind(name: str) -> tuple[str, str]:
    return KINDS.get(name, (name, ""))


def _change(calibration: Mapping[str, Any], key: str, title: str, words: str) -> Change:
    before, after = calibration["before"].get(key), calibration["after"].get(key)
    return Change(
        title,
        words,
        (number(bounds(before)[0]), interval_text(before)),
        (number(bounds(after)[0]), interval_text(after)),
    )


def _calibration(content: Mapping[str, Any]) -> Iterator[str]:
    tried, method = content["candidates"], content["method"]
    if method == "none":
        why = (
            "no correction was clearly better on images that it was not fitted to"
            if len(tried) > 1
            else "the recipe asks for no correction"
        )
        yield f"The probabilities stand as the model states them: {why}."
        return
    title, words = _kind(method)
    kind = "Isotonic regression" if method == "isotonic" else f"{title} scaling"
    yield (
        f"The probabilities are corrected. {kind} ({words}) "
        + (
            "is the simplest correction that does about as well as the best one tried."
            if len(tried) > 1
            else "is what the recipe asks for."
        )
        + _temperature(content.get("parameters") or {})
    )
    (before, *_), (after, *_) = (bounds(content[key].get("ece")) for key in ("before", "after"))
    if before is not None and after is not None:
        yield (
            "On average over all images, claim and truth lie "
            f"{percent_text(content['after']['ece'])} apart after the correction, and "
            f"{percent_text(content['before']['ece'])} before it."
            + (" By this measure the correction does not help." if after >= before else "")
            + (" It was chosen by log-loss." if after >= before and len(tried) > 1 else "")
        )


def _temperature(parameters: Mapping[str, Any]) -> str:
    value = parameters.get("temperature")
    if value is None:
        return ""
    if abs(float(value) - 1) < 0.005:
        return " Its temperature is 1: it changes nothing."
    means = "the model was too sure" if value > 1 else "the model was not sure enough"
    return f" Its temperature is {number(value, 2)}: {means}."


def _sets(content: Mapping[str, Any], classes: Sequence[str]) -> Iterator[str]:
    level, results = content["level"], content["results"]
    _, low, high = bounds(results["coverage"])
    said = (
        "Instead of one class, an image can be given the set of all classes that cannot be ruled "
        f"out. The sets are made so that {percent(level, 0)} of them hold the true class"
        f"{', class by class' if content['class_conditional'] else ''}; "
        f"{percent_text(results['coverage'])} did."
    )
    if high is not None and high < level:
        said += " That is less than was asked: do not rely on it."
    elif low is not None and low > level:
        said += " That is more than was asked: the classes are easily told apart here, or few."
    yield said
    yield (
        f"A set names {score_text(results['size'], 2)} of {thousands(len(classes))} classes on "
        f"average. {percent_text(results['single'])} of the sets name a single class"
        + (
            f", and of these {percent_text(results['single_right'])} are right."
            if bounds(results["single_right"])[0] is not None
            else "."
        )
    )
    if unbounded := [
        name
        for name, quantile in zip(classes, content["parameters"]["quantiles"], strict=True)
        if quantile is None
    ]:
        yield (
            f"In every set, because the images are too few to rule it out: {', '.join(unbounded)}."
        )
    short = [
        f"{name} ({percent(bounds(row['coverage'])[0], 0)})"
        for name, row in results["per_class"].items()
        if (found := bounds(row["coverage"])[2]) is not None and found < level
    ]
    if short:
        means = (
            "fall short of it"
            if content["class_conditional"]
            else "are held less often: the share holds over all images, not for each class"
        )
        yield f"Some classes {means}: {', '.join(short)}."


def _left(risk: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "The surest answers could be left to the machine and the others to an expert. On all "
        f"images, {percent_text(risk['error'])} of its answers are wrong."
    )
    some = chosen(risk)
    if some:
        first = min(some, key=lambda row: float(row["wanted"]))
        yield (
            f"If {wanted_text(first)} of its answers may be wrong, "
            f"{percent_text(first['share'])} of the images could be left to it; "
            f"{percent_text(first['risk'])} of these were wrong."
        )
    more = [row for row in some if _more(row["risk"], row["wanted"])]
    if more:
        yield (
            f"More were wrong than was asked where it was {_any(more)}: the surest answers are not "
            "the right ones often enough."
        )
    if none := [row for row in risk["left"] if row not in some]:
        strictest = min(float(row["wanted"]) for row in none)
        yield (
            f"Nothing could be left to it where {_any(none)} may be wrong. To show a share of "
            f"{percent(strictest, 0)}, at least {thousands(math.ceil(1 / strictest - 1e-9) - 1)} "
            "answers without an error are needed."
        )
    yield "These are shares of images; a slide or a patient of many images was not judged as one."


def _more(score: Mapping[str, Any], wanted: float) -> bool:
    low = bounds(score)[1]
    return low is not None and low > wanted


def _any(rows: Sequence[Mapping[str, Any]]) -> str:
    return " or ".join(wanted_text(row) for row in rows)


def _left_row(row: Mapping[str, Any]) -> Left:
    least = row["confidence"]
    return Left(
        wanted_text(row),
        "none is enough" if least is None else percent(least),
        split(row["share"]),
        split(row["risk"]),
    )
