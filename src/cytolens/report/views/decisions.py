"""Clear, abnormal, or for an expert: what a run's thresholds do, and whether acting on it helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cytolens.report.text import Score, bounds, number, percent, percent_text, thousands

_TWO = (
    ("sensitivity", "Sensitivity", "of the abnormal images, called abnormal"),
    ("specificity", "Specificity", "of the normal images, called normal"),
    ("ppv", "Positive predictive value", "of those called abnormal, the share that is"),
    ("npv", "Negative predictive value", "of those called normal, the share that is"),
)


@dataclass(frozen=True)
class Answer:
    """One of three answers: when it is given, how often, how often it is right; (value, span)."""

    name: str
    when: str
    share: tuple[str, str]
    right: tuple[str, str]


@dataclass(frozen=True)
class Rate:
    """A rate of two answers, in percent, with its interval and in words."""

    title: str
    value: str
    interval: str
    words: str


@dataclass(frozen=True)
class Decisions:
    """`why` says why there are none; the rest is empty then."""

    why: str
    sentences: list[str]
    answers: list[Answer]
    two: str
    rates: list[Rate]
    curve: list[str]


def decisions(found: Mapping[str, Any]) -> Decisions:
    """Return what `doubt.json` says of deciding."""
    content = found["decision"]
    if content is None:
        why = " ".join(found.get("notes") or []) or (
            "Nothing is sorted into clear and abnormal: the recipe names no abnormal classes "
            "(abnormal, in its table bundle)."
        )
        return Decisions(why, [], [], "", [], [])
    results = content["results"]
    return Decisions(
        "",
        list(_sentences(content, images=found["risk"]["n"])),
        _answers(content),
        _two(content),
        [Rate(title, *split(results[key]), words) for key, title, words in _TWO],
        list(_curve(found["decision_curve"] or [])),
    )


def split(score: Score) -> tuple[str, str]:
    """Return a share and its interval, in percent; no interval is ""."""
    value, low, high = bounds(score)
    if low is None or high is None:
        return percent(value), ""
    return percent(value), percent_text(score).split("(", 1)[1].rstrip(")")


def helpful(row: Mapping[str, Any]) -> bool:
    """Whether the model is better here than calling all abnormal and none, beyond its interval."""
    low = bounds(row["gain"])[1]
    return low is not None and low > 0


def _sentences(content: Mapping[str, Any], images: int) -> Iterator[str]:
    results, wanted = content["results"], content["wanted"]
    triage = results["triage"]
    what = "test images" if results["n"] == images else "predictions"
    yield (
        f"Abnormal are {_listed(content['abnormal'])}: {thousands(results['abnormal'])} of "
        f"{thousands(results['n'])} {what}. An image’s probability of being abnormal is the "
        "sum over these classes."
    )
    rates = "sensitivity" in wanted
    if rates:
        yield (
            f"Asked was to call at most {percent(1 - wanted['sensitivity'], 0)} of the abnormal "
            f"images clear, and at most {percent(1 - wanted['specificity'], 0)} of the normal ones "
            "abnormal; what lies between goes to an expert."
        )
    low, high = content["refer"]
    if low >= high:
        yield "One threshold reaches both here, so that nothing is referred."
    missed, alarms = triage["missed"], triage["false_alarms"]
    said = (
        f"Of the abnormal images {percent_text(missed)} were called clear, of the normal ones "
        f"{percent_text(alarms)} abnormal."
    )
    if rates:
        worse = [
            text
            for text, score, most in (
                ("misses", missed, 1 - wanted["sensitivity"]),
                ("false alarms", alarms, 1 - wanted["specificity"]),
            )
            if (least := bounds(score)[1]) is not None and least > most
        ]
        if worse:
            said += f" These are more {' and '.join(worse)} than was asked."
    yield said


def _answers(content: Mapping[str, Any]) -> list[Answer]:
    (low, high), triage = content["refer"], content["results"]["triage"]
    under, over = _point(low), _point(high)
    between = f"from {under} to {over}" if low < high else "never"
    return [
        Answer("Clear", f"below {under}", split(triage["clear"]), split(triage["clear_right"])),
        Answer("For an expert", between, split(triage["refer"]), ("", "")),
        Answer(
            "Abnormal", f"from {over} on", split(triage["abnormal"]),
            split(triage["abnormal_right"]),
        ),
    ]  # fmt: skip


def _two(content: Mapping[str, Any]) -> str:
    return (
        "Without an expert, an image is called abnormal from a probability of "
        f"{_point(content['threshold'])} on."
    )


def _point(p: float) -> str:
    """Return a threshold in percent, with more digits where it is close to 0 or 1."""
    return percent(p, 1 if 0.001 <= p <= 0.999 else 3)


def _curve(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    useful = [row for row in rows if helpful(row)]
    if not useful:
        yield (
            "At no probability is acting on the model’s word shown to be better than calling all "
            "images abnormal, or none."
        )
        return
    places = [index for index, row in enumerate(rows) if helpful(row)]
    whole = len(places) == places[-1] - places[0] + 1
    first, last = useful[0]["threshold"], useful[-1]["threshold"]
    best = max(useful, key=lambda row: bounds(row["gain"])[0] or 0.0)
    gain = 100 * (bounds(best["gain"])[0] or 0.0)
    span = f"{percent(first, 0)} to {percent(last, 0)}" if len(useful) > 1 else percent(first, 0)
    yield (
        f"For those who act from a probability of {span} on, deciding by the model is better than "
        "calling all images abnormal, or none"
        f"{'' if whole else ' (not at every point between)'}. The gain is largest at "
        f"{percent(best['threshold'], 0)}: {number(gain, 0)} more abnormal images found for every "
        "100 images, false alarms counted off."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
