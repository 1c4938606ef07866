"""How a study names things: shares of a paper's table, percentage points, regimes."""

from __future__ import annotations

from cytolens.report.text import THIN, UNDEFINED, Score, bounds, defined, number, signed_text

LEAK_WORD = "leaks"
REGIMES = {
    "finetune": "fine-tuning",
    "cost_sensitive": "cost-sensitive",
    "contrastive": "contrastive",
}

# of these the name of the model says all
UNNAMED = ("baseline", "fusion")


def share(value: object) -> float | None:
    """Return an accuracy as a paper prints it, .97 or 97, as a share in 0 … 1."""
    found = defined(value)
    return found / 100 if found is not None and found > 1 else found


def as_printed(value: object) -> str:
    """Return a share as a percentage with as many decimals as it needs, at most two."""
    found = share(value)
    if found is None:
        return UNDEFINED
    text = f"{100 * found:.2f}".rstrip("0").rstrip(".")
    return f"{text}{THIN}%"


def regime_words(regime: str) -> str:
    return REGIMES.get(regime, regime.replace("_", " "))


def hundredfold(score: Score) -> dict[str, float | None]:
    """Return a score in percent, or a difference in percentage points."""
    keys = ("value", "low", "high")
    return {
        key: None if part is None else 100 * part
        for key, part in zip(keys, bounds(score), strict=True)
    }


def points(score: Score) -> str:
    """Return a difference of shares in percentage points with its sign: "+12.1"."""
    return signed_text({"value": hundredfold(score)["value"]}, 1)


def points_span(score: Score) -> str:
    """Return the interval of such a difference: "7.0 to 17.1"; "" without one."""
    found = hundredfold(score)
    low, high = found["low"], found["high"]
    return "" if low is None or high is None else f"{number(low, 1)} to {number(high, 1)}"


def percent_span(score: Score) -> str:
    """Return the interval of a share in percent, "78.9-87.0" with an en dash; "" without one."""
    found = hundredfold(score)
    low, high = found["low"], found["high"]
    return "" if low is None or high is None else f"{number(low, 1)}{UNDEFINED}{number(high, 1)}"
