"""How long a plan may take: "90s", "15m", "1h30m"."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from cytolens.core.errors import InputError

_FORM = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def parse_budget(text: str) -> float:
    """Return seconds.

    Raises:
        InputError: not hours, minutes and seconds in this order, or nothing at all.
    """
    found = _FORM.fullmatch(text.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise InputError(f"--budget {text!r} is not a time.", expected='such as "90s", "15m", "1h"')
    return total


class Watch:
    """Tells what is left of a budget; it runs from its making.

    Args:
        budget: seconds.
        now: gives the time in seconds.
    """

    def __init__(self, budget: float, now: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self._now = now
        self._start = now()

    @property
    def spent(self) -> float:
        return self._now() - self._start

    @property
    def left(self) -> float:
        return self.budget - self.spent
