"""Whether the stated confidence can be believed, in words."""

from __future__ import annotations

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import (
    bounds,
    counted,
    defined,
    number,
    percent,
    score_text,
    thousands,
)
from cytolens.report.views.method import classifier

_EVEN = 0.01  # a mean difference below one point is called neither too sure nor too shy


def calibration(run: RunFolder) -> list[str]:
    """Return sentences on the calibration of the run."""
    said = []
    bins = [b for b in run.metrics.get("reliability") or [] if b["n"]]
    filled = [b for b in bins if defined(b["confidence"]) is not None]
    total = sum(b["n"] for b in filled)
    if total:
        confidence = sum(b["n"] * b["confidence"] for b in filled) / total
        accuracy = sum(b["n"] * b["accuracy"] for b in filled) / total
        said.append(
            f"On average the model claims {percent(confidence)} confidence and is right in "
            f"{percent(accuracy)}: it is {_verdict(confidence - accuracy)}."
        )
    if bounds(run.metrics.get("ece"))[0] is not None:
        said.append(
            f"The expected calibration error is {score_text(run.metrics['ece'])}: 0 would mean "
            f"that of all answers given with {percent(0.8, 0)} confidence, {percent(0.8, 0)} are "
            "right, and so at every level."
        )
    brier, loss = (bounds(run.metrics.get(key))[0] for key in ("brier", "log_loss"))
    if brier is not None and loss is not None:
        said.append(
            f"Brier score {number(brier)}, log-loss {number(loss)}: lower is better; both reward "
            "probabilities that are right as well as decided."
        )
    if scaling := scaled(run):
        said.append(scaling)
    return said


def temperatures(run: RunFolder) -> list[float | None]:
    """Return the temperature that scaled each fold's probabilities; None where none did."""
    return [defined(fold.get("temperature")) for fold in run.folds]


def scaled(run: RunFolder) -> str:
    """Say by which temperatures the probabilities were calibrated; "" if by none."""
    found = temperatures(run)
    known = [value for value in found if value is not None]
    if not known:
        return ""
    low, high = number(min(known), 2), number(max(known), 2)
    span = low if low == high else f"{low} to {high}"
    where = "within its training part" if classifier(run) else "on its validation part"
    means = "above 1 makes the model less sure, below 1 surer"
    if len(known) == len(found):
        return (
            f"The probabilities of each fold are calibrated, by a temperature fitted {where}: "
            f"{span} ({means})."
        )
    return (
        f"In {thousands(len(known))} of {counted(len(found), 'fold')} the probabilities are "
        f"calibrated, by a temperature fitted {where}: {span} ({means}). In the others they are "
        "not."
    )


def _verdict(surplus: float) -> str:
    if abs(surplus) < _EVEN:
        return "neither too sure nor too cautious on the whole"
    return "surer than it should be" if surplus > 0 else "more cautious than it need be"
