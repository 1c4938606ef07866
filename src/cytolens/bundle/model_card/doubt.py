"""What the bundle knows of its doubt: calibration, sets, decisions, images it should not judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cytolens.bundle.model_card.document import Block, Points, Section, Table, Text
from cytolens.bundle.model_card.words import (
    at,
    count,
    defined,
    listed,
    many,
    number,
    percent,
    score,
    table,
    texts,
)

Content = Mapping[str, Any]
_METHODS = {
    "none": "left as they are: no correction was clearly better",
    "temperature": "divided by one temperature before the softmax",
    "vector": "corrected by a scale and a bias for each class",
    "isotonic": "corrected by a rising curve for each class",
}
_SETS = {
    "aps": "adaptive sets, which grow with doubt (APS)",
    "lac": "the smallest sets (LAC)",
    "raps": "adaptive sets, of which long ones are kept short (RAPS)",
}
_CALIBRATION = {"ece": "Expected calibration error", "brier": "Brier score", "log_loss": "Log loss"}
_COVERAGE = {
    "coverage": "The set holds the true class",
    "size": "Mean number of classes in a set",
    "single": "Sets of one class",
    "single_right": "Of these, right",
}
_POINT = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "Of those called abnormal, abnormal",
    "npv": "Of those called normal, normal",
}
_TRIAGE = {
    "clear": "Called clear",
    "refer": "Referred",
    "abnormal": "Called abnormal",
    "missed": "Abnormal images that were cleared",
    "false_alarms": "Normal images called abnormal",
    "clear_right": "Of those cleared, normal",
    "abnormal_right": "Of those called abnormal, abnormal",
}
_CHECKS = {
    "brightness": "Mean grey level",
    "contrast": "Spread of grey levels",
    "detail": "Strength of edges, logarithm",
    "red_green": "Stain, red against green",
    "blue_yellow": "Stain, blue against yellow",
    "saturation": "Stain, strength of colour",
    "aspect": "Width over height",
    "side": "Side, px",
}


def why(content: Content, *, fitted: bool) -> Text:
    """Return why a part is missing, as the run told it.

    Args:
        fitted: a part that is fitted on predictions, else one that is learned from images.
    """
    notes = texts(content, "provenance.notes")
    word = re.compile(
        r"^Nothing was\b" if fitted else r"^(?!Nothing was\b).*\b(training|held-out)\b"
    )
    said = [note for note in notes if word.match(note)]
    return Text(f"Why: {' '.join(said)}" if said else "The bundle does not say why.")


def calibration(content: Content) -> Section:
    part, title = table(content, "calibration"), "Calibration"
    if not part:
        text = "Missing: the probabilities are the network's own, and are not calibrated."
        return Section("calibration", title, (Text(text, strong=True), why(content, fitted=True)))
    method = str(part.get("method"))
    rows = tuple(
        (name, score(at(part, f"before.{key}")), score(at(part, f"after.{key}")))
        for key, name in _CALIBRATION.items()
    )
    blocks: list[Block] = [
        Text(
            f"Method: {method}. The probabilities are {_METHODS.get(method, method)}. Fitted on "
            f"{many(part.get('n'), 'image')}."
        ),
        Table(("Score, less is better", "Before", "After"), rows),
    ]
    candidates = table(part, "candidates")
    if candidates:
        tried = tuple((str(name), number(value)) for name, value in candidates.items())
        caption = "What was tried; the simplest that is not clearly worse was taken"
        blocks.append(Table(("Method", "Log loss"), tried, caption=caption))
    return Section("calibration", title, (*blocks, *_notes(part)))


def sets(content: Content) -> Section:
    part, title = table(content, "conformal"), "Sets of classes"
    if not part:
        text = "Missing: the bundle makes no sets of classes with a known coverage."
        return Section("sets", title, (Text(text, strong=True), why(content, fitted=True)))
    level, method = percent(part.get("level")), str(part.get("method"))
    each = "each class by itself" if part.get("class_conditional") else "all images together"
    blocks: list[Block] = [
        Text(
            f"Of new images like those of the data, the set shall hold the true class in {level}, "
            f"for {each}. Made as {_SETS.get(method, method)}, from "
            f"{many(part.get('n'), 'image')}. The promise does not hold for other data."
        )
    ]
    results = table(part, "results")
    if results:
        rows = tuple((name, score(results.get(key))) for key, name in _COVERAGE.items())
        caption = f"Cross-fitted, {many(results.get('n'), 'prediction')}"
        blocks.append(Table(("Sets", "Value and interval"), rows, caption=caption))
        per_class = tuple(
            (str(name), count(at(row, "n")), score(at(row, "coverage")))
            for name, row in table(results, "per_class").items()
        )
        blocks.append(
            Table(("Class", "Predictions", "The set holds the true class"), per_class)
            if per_class
            else Text("Missing: the coverage of each class.")
        )
    else:
        blocks.append(Text("Missing: how often the sets held the true class.", strong=True))
    return Section("sets", title, (*blocks, *_notes(part)))


def decisions(content: Content) -> Section:
    part, title = table(content, "decision"), "Operating point and triage"
    if not part:
        text = "Missing: no operating point. The bundle sorts nothing into clear and abnormal."
        return Section("decisions", title, (Text(text, strong=True), _undecided(content)))
    low, high = (at(part, "refer") or [None, None])[:2]
    blocks: list[Block] = [
        Text(
            f"Abnormal: {listed(part.get('abnormal') or [])}. The probability of an abnormal "
            f"finding is the sum over these classes. {_wanted(table(part, 'wanted'))}"
        ),
        Points(
            (
                f"With two answers: abnormal from {number(part.get('threshold'))} on.",
                f"With three: clear below {number(low)}, abnormal from {number(high)} on, "
                "referred between, or for one of the other reasons to refer.",
            )
        ),
    ]
    results = table(part, "results")
    if results:
        rows = tuple((name, score(results.get(key))) for key, name in _POINT.items())
        caption = (
            f"Cross-fitted, {many(results.get('n'), 'prediction')}, "
            f"{count(results.get('abnormal'))} of abnormal images"
        )
        blocks.append(Table(("With two answers", "Value and interval"), rows, caption=caption))
        three = tuple((name, score(at(results, f"triage.{key}"))) for key, name in _TRIAGE.items())
        caption = "By this probability alone; the other reasons to refer come on top"
        blocks.append(Table(("With three answers", "Value and interval"), three, caption=caption))
    else:
        blocks.append(Text("Missing: what the thresholds do on held-out images.", strong=True))
    return Section("decisions", title, (*blocks, *_notes(part)))


def _undecided(content: Content) -> Text:
    told = any(n.startswith("Nothing was") for n in texts(content, "provenance.notes"))
    if told or content.get("calibration") is None:
        return why(content, fitted=True)
    return Text("Why: the recipe names no abnormal classes (bundle.abnormal).")


def _wanted(wanted: Mapping[str, Any]) -> str:
    if "sensitivity" in wanted:
        return (
            f"The thresholds were chosen for a sensitivity of {percent(wanted['sensitivity'])} "
            f"and a specificity of {percent(wanted.get('specificity'))}."
        )
    if "missed" in wanted:
        referred = defined(wanted.get("refer"))
        return (
            f"The thresholds are those of least cost: {wanted['missed']:g} for an abnormal image "
            f"missed, {wanted.get('false_alarm'):g} for a false alarm"
            + ("." if referred is None else f", {referred:g} for a referral.")
        )
    return "What the thresholds were chosen for is not in the bundle."


def recognition(content: Content) -> Section:
    ood, checks = table(content, "ood"), table(content, "checks")
    blocks: list[Block] = []
    if ood:
        blocks.append(
            Text(
                "Out of distribution: an image is compared with "
                f"{many(ood.get('training'), 'training image')} by the network's features "
                "(Mahalanobis distance and distance to the "
                f"{count(ood.get('neighbours'))} nearest). The limit was set on "
                f"{many(ood.get('held_out'), 'image')} not in training, so that "
                f"{percent(ood.get('acceptance'))} shall pass; the share of new images of the same "
                f"kind that pass: {score(ood.get('accepts'))}."
            )
        )
        blocks.append(
            Text(
                "Missing: how many images of other kinds (other stains, organs, photographs) are "
                "refused; the run saw none."
            )
        )
    else:
        blocks.append(
            Text("Missing: the bundle cannot tell images unlike those of training.", strong=True)
        )
    if checks:
        rows = tuple(
            (
                name,
                *(number(at(checks, f"{key}.{end}")) for end in ("least", "low", "high", "most")),
            )
            for key, name in _CHECKS.items()
        )
        caption = f"Image checks, learned from {many(checks.get('images'), 'training image')}"
        head = ("Measure", "Refused below", "Usual from", "Usual to", "Refused above")
        blocks.append(Table(head, rows, caption=caption))
    else:
        blocks.append(
            Text("Missing: image checks (blur, light, stain, size of the image).", strong=True)
        )
    if not (ood and checks):
        blocks.append(why(content, fitted=False))
    return Section("recognition", "Images it should not judge", tuple(blocks))


def _notes(part: Mapping[str, Any]) -> list[Text]:
    note = part.get("note")
    return [Text(f"How: {note}.")] if note else []
