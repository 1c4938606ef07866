"""What the errors cost, and what deciding by cost changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import (
    Score,
    bounds,
    defined,
    interval_text,
    number,
    thousands,
)
from cytolens.report.views.calibration import scaled
from cytolens.report.views.method import cost_matrix, members

_UNITS = {
    "bethesda": "The unit is one visit too many: 1 is calling somebody back for nothing.",
    "binary": "The unit is one examination too many.",
}
_NO_UNIT = "The costs have no unit: only their ratios count."


@dataclass(frozen=True)
class Decision:
    """One way of deciding: its cost over all images and a image, and its accuracy (with spans)."""

    name: str
    total: str
    mean: tuple[str, str]
    accuracy: tuple[str, str]


@dataclass(frozen=True)
class Costs:
    """`matrix` is (true class, cost of each predicted class); `compared` if there are two."""

    classes: list[str]
    matrix: list[tuple[str, list[str]]]
    meaning: list[str]
    decisions: list[Decision]
    compared: bool
    effect: list[str]
    calibration: str


def costs(run: RunFolder) -> Costs | None:
    """Return what `metrics.json` says of costs; None where every error costs 1 and that is all."""
    cost = run.metrics.get("cost")
    if not isinstance(cost, Mapping) or not cost.get("matrix"):
        return None
    matrix = np.asarray(cost["matrix"], np.float64)  # [k, k]
    cheapest = cost.get("cheapest")
    if cheapest is None and np.array_equal(matrix, 1.0 - np.eye(len(matrix))):
        return None
    decisions = [_decision("Most probable class", cost["most_probable"], run.metrics["accuracy"])]
    if cheapest is not None:
        decisions.append(_decision("Cheapest class", cheapest, cheapest.get("accuracy")))
    return Costs(
        classes=run.classes,
        matrix=[
            (name, [cost_text(value) for value in row])
            for name, row in zip(run.classes, matrix.tolist(), strict=True)
        ],
        meaning=list(_meaning(run, matrix)),
        decisions=decisions,
        compared=cheapest is not None,
        effect=list(_effect(run, matrix, cost)) if cheapest is not None else [],
        calibration=_calibration(run) if cheapest is not None else "",
    )


def cost_text(value: object) -> str:
    """Return a cost without needless decimals."""
    found = defined(value)
    if found is None:
        return number(None)
    if abs(found - round(found)) < 1e-9:
        return thousands(found)
    return number(found, 1 if abs(found) >= 100 else 2)


def _calibration(run: RunFolder) -> str:
    if members(run):
        return "Nothing was calibrated on the ensemble itself; its members may have been."
    return scaled(run) or (
        "The probabilities were not calibrated: the cheapest class is only as good as the "
        "confidence that the model claims."
    )


def _decision(name: str, content: Mapping[str, Any], accuracy: Score) -> Decision:
    return Decision(
        name,
        cost_text(content.get("total")),
        (number(bounds(content.get("mean"))[0]), interval_text(content.get("mean"))),
        (number(bounds(accuracy)[0]), interval_text(accuracy)),
    )


def _meaning(run: RunFolder, matrix: NDArray[np.float64]) -> Iterator[str]:
    unit = _UNITS.get(cost_matrix(run), _NO_UNIT)
    yield f"Each error costs what the table says; a right answer costs nothing. {unit}"
    errors = matrix.copy()
    np.fill_diagonal(errors, -np.inf)
    if len(errors) > 1:
        true, taken = divmod(int(errors.argmax()), len(errors))
        least = errors[np.isfinite(errors)].min()
        if errors.max() > least:
            yield (
                f"The dearest error, at {cost_text(errors.max())}, is to take "
                f"{run.classes[true]} for {run.classes[taken]}; the least "
                f"costs {cost_text(least)}."
            )
    support = np.asarray([sum(row) for row in run.metrics.get("confusion") or []], np.float64)
    if support.sum():
        always = support @ matrix / support.sum()  # [k]: mean cost of always giving this answer
        best = int(always.argmin())
        yield (
            f"To compare: always answering {run.classes[best]}, the cheapest answer that needs no "
            f"image, would cost {number(always[best])} an image."
        )


def _effect(run: RunFolder, matrix: NDArray[np.float64], cost: Mapping[str, Any]) -> Iterator[str]:
    """Say what deciding by cost changes."""
    before, after = cost["most_probable"], cost["cheapest"]
    one, other = (bounds(part.get("mean"))[0] for part in (before, after))
    right, left = bounds(run.metrics["accuracy"])[0], bounds(after.get("accuracy"))[0]
    if None not in (one, other, right, left):
        assert one is not None and other is not None and right is not None and left is not None
        yield (
            "The cheapest class is the one whose expected cost, over all classes by their "
            f"probability, is least. Deciding so, an image costs {number(other)} instead of "
            f"{number(one)}, and the accuracy is {number(left)} instead of {number(right)}."
        )
        if other > one:
            yield (
                "That is more, not less: the probabilities do not say well enough how often an "
                "error happens."
            )
    counts = [np.asarray(m or []) for m in (run.metrics.get("confusion"), after.get("confusion"))]
    if all(m.shape == matrix.shape for m in counts):
        yield from _dearest(run.classes, matrix, counts)


def _dearest(
    classes: Sequence[str], matrix: NDArray[np.float64], counts: Sequence[NDArray[Any]]
) -> Iterator[str]:
    """Say how often the dearest error that happens at all happens under both decisions."""
    happens = (counts[0] + counts[1] > 0) & ~np.eye(len(matrix), dtype=bool)
    if not happens.any():
        return
    worth = np.where(happens, matrix, -np.inf)
    true, taken = divmod(int(worth.argmax()), len(matrix))
    first, second = (round(float(m[true, taken])) for m in counts)
    yield (
        f"The dearest error that happened, {classes[true]} taken for {classes[taken]} (cost "
        f"{cost_text(matrix[true, taken])}), happens {_times(first)} under the most probable "
        f"decision and {_times(second)} under the cheapest."
    )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{thousands(count)} times")
