"""Numbers in words: scores with intervals, shares, counts, durations. Undefined is a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

DASH = "\N{EN DASH}"  # between the ends of an interval, and alone for what is undefined
UNDEFINED = DASH
THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

Score = Mapping[str, Any] | None


def defined(value: object) -> float | None:
    """Return `value` as a finite float, or None when it is missing, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def bounds(score: Score) -> tuple[float | None, float | None, float | None]:
    """Return (value, low, high) of a score as `metrics.json` holds it; None where undefined."""
    if not isinstance(score, Mapping):
        return None, None, None
    return defined(score.get("value")), defined(score.get("low")), defined(score.get("high"))


def number(value: object, digits: int = 3) -> str:
    """Return a number with a true minus sign."""
    found = defined(value)
    if found is None:
        return UNDEFINED
    text = f"{found:.{digits}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def significant(value: object, digits: int = 3) -> str:
    """Return a magnitude of any size by its first digits: "0.0123", "1.23·10⁻⁵", "45 600"."""
    found = defined(value)
    if found is None:
        return UNDEFINED
    mantissa, _, power = f"{found:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if found and not -4 <= exponent <= 5:
        raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa.replace('-', MINUS)}·10{raised}"
    if exponent >= digits:
        return thousands(round(found, digits - 1 - exponent))
    return number(found, max(0, digits - 1 - exponent) if found else 0)


def score_text(score: Score, digits: int = 3) -> str:
    """Return "0.912 (0.880-0.940)" with an en dash; "0.912" without an interval."""
    value, low, high = bounds(score)
    if value is None:
        return UNDEFINED
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} ({_span(number(low, digits), number(high, digits))})"


def interval_text(score: Score, digits: int = 3) -> str:
    """Return "0.880-0.940" with an en dash."""
    _, low, high = bounds(score)
    if low is None or high is None:
        return UNDEFINED
    return _span(number(low, digits), number(high, digits))


def _span(low: str, high: str) -> str:
    return f"{low} to {high}" if MINUS in low + high else f"{low}{DASH}{high}"


def percent(share: object, digits: int = 1) -> str:
    """Return a share in 0…1 as "91.2 %"."""
    found = defined(share)
    return UNDEFINED if found is None else f"{number(100 * found, digits)}{THIN}%"


def percent_text(score: Score, digits: int = 1) -> str:
    """Return "91.2 % (88.0-94.0 %)" with an en dash."""
    value, low, high = bounds(score)
    if value is None or low is None or high is None:
        return percent(value, digits)
    span = _span(number(100 * low, digits), number(100 * high, digits))
    return f"{percent(value, digits)} ({span}{THIN}%)"


def thousands(count: object) -> str:
    """Return a count with thin spaces: "12 345"; four digits stay together."""
    found = defined(count)
    if found is None:
        return UNDEFINED
    whole = round(found)
    grouped = f"{abs(whole):,}".replace(",", THIN) if abs(whole) >= 10_000 else str(abs(whole))
    return f"{MINUS}{grouped}" if whole < 0 else grouped


def seconds(duration: object) -> str:
    """Return a duration in seconds as "0.42 s", "41.3 s", "3 min 20 s" or "2 h 05 min"."""
    found = defined(duration)
    if found is None or found < 0:
        return UNDEFINED
    if found < 59.95:
        return f"{found:.{2 if found < 9.995 else 1}f}{THIN}s"
    minutes, rest = divmod(round(found), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    return f"{minutes // 60}{THIN}h {minutes % 60:02d}{THIN}min"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return "1 image", "2 images"."""
    return f"{thousands(count)} {noun if count == 1 else plural or noun + 's'}"


def signed_text(score: Score, digits: int = 3) -> str:
    """Return a difference with its sign: "+0.111 (0.070-0.152)"."""
    value, _, _ = bounds(score)
    text = score_text(score, digits)
    return f"+{text}" if value is not None and round(value, digits) > 0 else text
