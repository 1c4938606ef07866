"""Checks of settings: every value out of range is reported at once."""

from __future__ import annotations

from collections.abc import Sequence

from cytolens.core.errors import InputError

Rule = tuple[bool, str]


def between(name: str, value: float, low: float, high: float, *, below: bool = False) -> Rule:
    """Return the rule low ≤ value ≤ high, or low ≤ value < high when `below`."""
    right = low <= value < high if below else low <= value <= high
    end = f"below {high:g}" if below else f"at most {high:g}"
    return right, f"{name} must be at least {low:g} and {end}, got {value:g}"


def odd(name: str, value: int, high: int) -> Rule:
    """Return the rule that `value` is an odd number from 1 to `high` (the side of a window)."""
    return 1 <= value <= high and value % 2 == 1, (
        f"{name} must be an odd number from 1 to {high}, got {value}"
    )


def require(what: str, rules: Sequence[Rule]) -> None:
    """Refuse the settings called `what` if a rule is broken.

    Raises:
        InputError: one row a broken rule.
    """
    if broken := [text for right, text in rules if not right]:
        plural = "s" if len(broken) > 1 else ""
        raise InputError(f"{what} has {len(broken)} wrong value{plural}.", rows=broken)
