"""Numbers and names in words. What is undefined or missing is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

DASH = "\N{EN DASH}"  # between the ends of an interval, and alone for what is undefined
MINUS = "\N{MINUS SIGN}"
AUTHORS = "To be filled by the authors: "


def at(content: Any, key: str) -> Any:
    """Return what stands at a dotted key of nested tables; None where nothing does."""
    for name in key.split("."):
        if not isinstance(content, Mapping) or name not in content:
            return None
        content = content[name]
    return content


def table(content: Any, key: str) -> Mapping[str, Any]:
    """Return the table at a dotted key; an empty one where there is none."""
    found = at(content, key)
    return found if isinstance(found, Mapping) else {}


def texts(content: Any, key: str) -> tuple[str, ...]:
    """Return the list of sentences at a dotted key; none where there is no list."""
    found = at(content, key)
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()


def defined(value: object) -> float | None:
    """Return `value` as a finite float; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: object, digits: int = 3) -> str:
    """Return "0.912", with a true minus sign."""
    found = defined(value)
    if found is None:
        return DASH
    text = f"{found:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def count(value: object) -> str:
    """Return a whole number."""
    found = defined(value)
    return DASH if found is None else f"{found:.0f}"


def percent(value: object) -> str:
    """Return a share that was asked for, such as 0.9, as "90 %"."""
    found = defined(value)
    return DASH if found is None else f"{100 * found:g} %"


def score(found: object) -> str:
    """Return {value, low, high} as "0.912 (0.880–0.940)"; without an interval as "0.912"."""
    if not isinstance(found, Mapping):
        return DASH
    value, low, high = (defined(found.get(name)) for name in ("value", "low", "high"))
    if value is None:
        return DASH
    if low is None or high is None:
        return number(value)
    between = " to " if low < 0 or high < 0 else DASH
    return f"{number(value)} ({number(low)}{between}{number(high)})"


def many(value: object, noun: str, plural: str = "") -> str:
    """Return "1 image", "2 images", "– images" where the number is not known."""
    return f"{count(value)} {noun if defined(value) == 1 else plural or noun + 's'}"


def listed(names: Iterable[object], last: str = "and") -> str:
    """Return "A", "A and B", "A, B and C"; a dash of none."""
    words = [str(name) for name in names]
    if len(words) < 2:
        return words[0] if words else DASH
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def or_missing(value: object) -> str:
    """Return a text of the bundle, or that it has none."""
    return "not in the bundle" if value is None or value == "" else str(value)
