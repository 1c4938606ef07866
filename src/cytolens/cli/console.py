"""What all commands share: the console, progress bars, JSON output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from cytolens.core.progress import Step

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Bars:
    """Progress bars on standard error with rate and time left; a line a task without terminal."""

    def say(self, text: str) -> None:
        err.print(text, style="yellow", markup=False)

    @contextlib.contextmanager
    def task(self, name: str, total: int) -> Iterator[Step]:
        if total <= 0:
            yield lambda: None
            return
        if not err.is_terminal:
            yield lambda: None
            err.print(f"{name}: {total} done", markup=False)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TaskProgressColumn(show_speed=True),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True) as bars:
            task = bars.add_task(name, total=total)
            yield lambda: bars.advance(task)


def print_json(content: Any) -> None:
    """Write strict JSON to standard output."""
    json.dump(content, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def show_scores(metrics: dict[str, Any]) -> None:
    """Print the first scores of a run, and its leaks."""
    from cytolens.report.text import score_text

    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc"):
        out.print(f"{name.replace('_', ' '):<18} {score_text(metrics[name])}", markup=False)
    if metrics["leaks"]:
        out.print("LEAKS: " + "; ".join(metrics["leaks"]), style="bold red", markup=False)
