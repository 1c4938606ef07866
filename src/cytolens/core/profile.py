"""Where the time of a run goes: seconds by stage. Nothing is measured unless somebody asks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OFF = contextlib.nullcontext()
_active: Profile | None = None


@dataclass
class _Seen:
    """A stage so far; `inside` counts the threads that are in it now."""

    seconds: float = 0.0
    busy: float = 0.0
    calls: int = 0
    inside: int = 0
    since: float = 0.0


class Profile:
    """Seconds of stages, of this process and of tasks elsewhere."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._guard = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._elsewhere: dict[str, dict[str, float]] = {}
        self._tasks = 0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count a block to a stage; threads may be in one stage at the same time."""
        began = time.perf_counter()
        with self._guard:
            seen = self._seen.setdefault(name, _Seen())
            if not seen.inside:
                seen.since = began
            seen.inside += 1
        try:
            yield
        finally:
            now = time.perf_counter()
            with self._guard:
                seen.inside -= 1
                seen.calls += 1
                seen.busy += now - began
                if not seen.inside:
                    seen.seconds += now - seen.since

    def add(self, content: Mapping[str, Any]) -> None:
        """Add what a task elsewhere measured (its `content`)."""
        with self._guard:
            self._tasks += 1
            for stage in content["stages"]:
                known = self._elsewhere.setdefault(
                    stage["name"], {"seconds": 0.0, "busy": 0.0, "calls": 0}
                )
                for key in known:
                    known[key] += stage[key]

    def content(self) -> dict[str, Any]:
        """Return what was measured so far.

        Returns:
            {seconds since the start, stages [{name, seconds in which a thread at least was in the
            stage, busy: summed over threads, calls}], elsewhere {tasks, stages: likewise, summed
            over tasks} | null}.
        """
        with self._guard:
            stages = {
                name: {"seconds": seen.seconds, "busy": seen.busy, "calls": seen.calls}
                for name, seen in self._seen.items()
                if seen.calls
            }
            elsewhere = {"tasks": self._tasks, "stages": _listed(self._elsewhere)}
            return {
                "seconds": round(time.perf_counter() - self._started, 4),
                "stages": _listed(stages),
                "elsewhere": elsewhere if self._tasks else None,
            }


def _listed(stages: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "seconds": round(one["seconds"], 4),
            "busy": round(one["busy"], 4),
            "calls": int(one["calls"]),
        }
        for name, one in stages.items()
    ]


def stage(name: str) -> contextlib.AbstractContextManager[None]:
    """Count a block to a stage of the profile that is being made, if one is."""
    return _OFF if _active is None else _active.stage(name)


def active() -> Profile | None:
    """Return the profile that is being made, if one is."""
    return _active


@contextlib.contextmanager
def profiling(wanted: bool = True) -> Iterator[Profile | None]:
    """Make a profile of this process while the block runs; None where it is not wanted."""
    global _active
    if not wanted:
        yield None
        return
    assert _active is None, "one profile at a time"
    _active = Profile()
    try:
        yield _active
    finally:
        _active = None
