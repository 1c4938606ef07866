"""The training in numbers: a row a fold, and a stage where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cytolens.report.run_folder import RunFolder
from cytolens.report.text import UNDEFINED, defined, percent, seconds

_LAST = {"encoder": "last"}  # it is not judged on a validation part


@dataclass(frozen=True)
class Kept:
    """One fold: how many epochs it ran, which was kept, and how good that was.

    `stage` is "encoder" or "classifier" in a contrastive run, else "".
    """

    fold: str
    stage: str
    epochs: int
    kept: str
    accuracy: str
    time: str


def epochs(run: RunFolder) -> list[Kept]:
    """Return a row for each fold, repeat and stage of `history.jsonl`."""
    folds: dict[tuple[int, int], dict[str, list[dict[str, Any]]]] = {}
    for line in run.history:
        stages = folds.setdefault((int(line.get("repeat", 0)), int(line["fold"])), {})
        stages.setdefault(str(line.get("stage") or ""), []).append(line)
    repeats = len({repeat for repeat, _ in folds}) > 1
    return [
        _kept(f"{repeat}.{fold}" if repeats else str(fold), stage, lines)
        for (repeat, fold), stages in sorted(folds.items())
        for stage, lines in stages.items()
    ]


def _kept(name: str, stage: str, lines: Sequence[dict[str, Any]]) -> Kept:
    marked = [line for line in lines if line.get("best") is True]
    best = marked[-1] if marked else None
    durations = [value for line in lines if (value := defined(line.get("seconds"))) is not None]
    return Kept(
        fold=name,
        stage=stage,
        epochs=len(lines),
        kept=str(best["epoch"]) if best else _LAST.get(stage, UNDEFINED),
        accuracy=percent(best.get("validation_accuracy")) if best else UNDEFINED,
        time=seconds(sum(durations)) if durations else UNDEFINED,
    )
