"""A ledger in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cytolens.report.text import bounds, percent_text
from cytolens.report.views.ledger import points_text, signed_points

UNKNOWN_PATIENTS = "There are no groups: patient leakage cannot be excluded in any row."
_SUBJECTS = {
    "near_duplicate": "Keeping near duplicates together but splitting groups",
    "image": "Splitting by image instead of by {unit}",
    "augmented": "Augmenting before a split by image, instead of splitting by {unit},",
    "magnification": "Training on other magnifications of the tested patients",
    "early_stopping": "Choosing the epoch by the test part",
}
# What else than the leak such a row gains by.
_EARNED = {
    "augmented": "training on copies",
    "magnification": "training on more images than its reference",
}


def ledger_sentences(rows: list[dict[str, Any]], unit: str) -> list[str]:
    """Return the findings, most important first.

    Args:
        rows: of ledger.json, the reference first.
        unit: what the reference never splits: "group", "near-duplicate cluster" or "image".
    """
    reference = rows[0]
    said = [f"Honestly measured, accuracy is {percent_text(reference['accuracy'])}."]
    if unit != "group":
        said.append(UNKNOWN_PATIENTS)
    for row in rows[1:]:
        if row["inflation"] is not None:
            subject = _SUBJECTS[row["name"]].format(unit=unit)
            said.append(f"{subject} {_verdict(row['name'], row['inflation']['accuracy'])}")
    return said


def _verdict(name: str, inflation: Mapping[str, Any]) -> str:
    value, low, high = bounds(inflation)
    if value is None or low is None or high is None:
        return "cannot be judged: there is no interval."
    if low > 0:
        rest = " that are not skill"
        if name in _EARNED:
            rest = f", of which {_EARNED[name]} may have earned a part"
        return f"adds {points_text(inflation)} points of accuracy{rest}."
    if high < 0:
        return f"costs {points_text(_negative(value, low, high))} points of accuracy."
    return f"is not shown to add anything: {signed_points(inflation)} points of accuracy."


def _negative(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": -value, "low": -high, "high": -low}
