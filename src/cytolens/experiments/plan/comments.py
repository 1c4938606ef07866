"""What the comments of a planned recipe say."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from cytolens.experiments.plan.fingerprint import Fingerprint, sentences
from cytolens.experiments.recipe import Recipe
from cytolens.models.weights import TINY
from cytolens.report.text import counted, number, score_text
from cytolens.report.text import seconds as duration

_WIDTH = 96


def header(content: dict[str, Any]) -> str:
    """Return the first comment: the data, the candidates with their scores, the choice, the notes.

    Args:
        content: of `plan.json`.
    """
    lines = [
        f"Planned for {content['data']}: {content['chosen']}.",
        "",
        f"Locked before anything was tried: {content['test_images']} test images "
        f"({_test_part(content['test_part'])}).",
        "Everything below was decided by the training part alone; nobody has looked at the test "
        "images.",
        "",
    ]
    lines += sentences(Fingerprint(**content["fingerprint"]))
    lines += ["", *_procedure(content), "", *_table(content), ""]
    lines.append(f"Choice: {content['reason']}.")
    lines += [f"Note: {note}." for note in content["notes"]]
    return "\n".join(wrapped for line in lines for wrapped in _wrap(line))


def _wrap(line: str) -> list[str]:
    if line.startswith("  "):  # of the table
        return [line]
    return textwrap.wrap(line, _WIDTH) or [""]


def _test_part(name: str) -> str:
    return "a holdout of about a fifth" if name == "holdout" else f"fold {name}"


def _procedure(content: dict[str, Any]) -> Iterator[str]:
    inner = content["inner"]
    budget = f"{duration(content['spent_seconds'])} of {duration(content['budget_seconds'])}"
    if inner is None:
        yield f"No candidate was tried. Time: {budget}."
        return
    yield (
        f"Candidates were compared on {counted(inner['folds'], 'inner fold')} of the training "
        f"part (never split: {inner['unit']}). Time: {budget}. Those that train a part of the "
        "backbone were judged on the first inner fold, and on more where time allowed and "
        "one was ahead."
    )
    fewer = [
        c["name"] for c in content["candidates"] if c["tried"] and c["judged_epochs"] != c["epochs"]
    ]
    if fewer:
        yield f"Judged with fewer epochs than the recipe has, to save time: {', '.join(fewer)}."


def _table(content: dict[str, Any]) -> Iterator[str]:
    rows = [
        (
            "candidate",
            f"{content['score'].replace('_', ' ')} (95 %)",
            "images",
            "epochs",
            f"lead on {content['reference'] or 'none'}",
            "why it was tried",
        )
    ]
    for one in content["candidates"]:
        mark = "* " if one["name"] == content["chosen"] else "  "
        if one["tried"]:
            cells = (score_text(one["score"]), str(one["images"]), str(one["judged_epochs"]))
            rows.append((mark + one["name"], *cells, _lead(one), one["why"]))
        else:
            rows.append((mark + one["name"], one["skipped"], "", "", "", one["why"]))
    tried = [row for row in rows if row[2]]
    widths = [max(len(row[i]) for row in (tried if i == 1 else rows)) for i in range(5)]
    for row in rows:
        if row[2]:
            padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            yield "  " + "  ".join([*padded, row[5]])
        else:
            yield "  " + "  ".join([row[0].ljust(widths[0]), f"{row[1]} ({row[5]})"])


def _lead(one: dict[str, Any]) -> str:
    lead = one["lead"]
    if lead is None or lead["gain"] is None:
        return ""
    sign = "+" if lead["gain"] >= 0 else ""
    error = "" if lead["error"] is None else f" ± {number(lead['error'])}"
    return f"{sign}{number(lead['gain'])}{error}"


def reasons(recipe: Recipe, content: dict[str, Any]) -> dict[str, str]:
    """Return {"table.key": why it has this value}."""
    found = Fingerprint(**content["fingerprint"])
    tried = [one["name"] for one in content["candidates"] if one["tried"]]
    rivals = ", ".join(name for name in tried if name != content["chosen"]) or "nothing"
    why = {
        "seed": "Of the split, the folds, the views and the first weights.",
        "split": "The test part was locked first. Relative paths start at the working folder.",
        "pixels.size": "Side of the network's input in pixels; 0 is what the weights were trained "
        f"with. The images' median side is {found.side['median']}.",
        "augment": "Of the shipped recipe that this one starts from: a cell has no up, and "
        "brightness differs between slides.",
        "augment.stain": "Tried because datasets differ in colour.",
        "model.backbone": _backbone(recipe, found),
        "model.freeze": _freeze(recipe, content, rivals),
        "model.head": "No other head was tried.",
        "training.regime": _regime(recipe, found),
        "training.lr": "Of the shipped recipe; no other rate was tried.",
        "training.epochs": _epochs(content),
        "evaluation.test_views": "Fixed views of a test image whose probabilities are averaged.",
    }
    return {key: "\n".join(textwrap.wrap(text, _WIDTH)) for key, text in why.items()}


def _backbone(recipe: Recipe, found: Fingerprint) -> str:
    if found.backbones == (TINY,):
        return (
            "No other weights are at hand. It ships with the package and has seen synthetic smears "
            "alone: put ImageNet weights where CYTOLENS_WEIGHTS points, and plan again."
        )
    if len(found.backbones) == 1:
        return "The only weights at hand."
    others = ", ".join(name for name in found.backbones if name != recipe.model.backbone)
    return f"At hand were also {others}."


def _freeze(recipe: Recipe, content: dict[str, Any], rivals: str) -> str:
    if content["inner"] is None:
        return "By rule: with so few images, only a head is trained."
    if recipe.model.freeze == "all":
        return f"Nothing but the head is trained. Compared with {rivals}."
    return (
        f"Share of the weight layers, from the input, that stays as it is. Compared with {rivals}."
    )


def _regime(recipe: Recipe, found: Fingerprint) -> str:
    if recipe.training.regime == "cost_sensitive":
        return "Classes are weighted by the inverse of their number of images."
    if found.imbalance == 1:
        return "Every image counts the same; the classes are equally large."
    return (
        f"Every image counts the same; the largest class has {found.imbalance:g} times the images "
        "of the smallest."
    )


def _epochs(content: dict[str, Any]) -> str:
    one = next(c for c in content["candidates"] if c["name"] == content["chosen"])
    if one["tried"] and one["judged_epochs"] != one["epochs"]:
        return f"Judged with {one['judged_epochs']} to save time."
    return "Of the shipped recipe that this one starts from." if not one["tried"] else "As judged."
