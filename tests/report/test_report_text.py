"""Numbers in words."""

from __future__ import annotations

import math

import pytest

from cytolens.report import text

NARROW = "\N{NARROW NO-BREAK SPACE}"


def score(value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (score(0.912, 0.88, 0.94), "0.912 (0.880–0.940)"),
        (score(0.912, None, None), "0.912"),
        (score(None, None, None), "–"),
        (None, "–"),
        (score(-0.1, -0.2, 0.05), "−0.100 (−0.200 to 0.050)"),
        (score(math.nan, 0.1, 0.2), "–"),
        (score(-0.0001, None, None), "0.000"),
    ],
)
def test_a_score_is_its_value_and_interval(
    given: dict[str, float | None] | None, said: str
) -> None:
    assert text.score_text(given) == said


def test_differences_carry_their_sign() -> None:
    assert text.signed_text(score(0.111, 0.07, 0.152)) == "+0.111 (0.070–0.152)"
    assert text.signed_text(score(-0.02, None, None)) == "−0.020"
    assert text.signed_text(None) == "–"


def test_shares_and_counts() -> None:
    assert text.percent(0.9123) == f"91.2{NARROW}%"
    assert text.percent_text(score(0.9, 0.88, 0.94)) == f"90.0{NARROW}% (88.0–94.0{NARROW}%)"
    assert text.percent(None) == "–"
    assert text.thousands(1234) == "1234"
    assert text.thousands(-1234567) == f"−1{NARROW}234{NARROW}567"
    assert text.counted(1, "image") == "1 image"
    assert text.counted(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (0.416, "0.42 s"),
        (41.3, "41.3 s"),
        (59.97, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (None, "–"),
    ],
)
def test_durations(duration: float | None, said: str) -> None:
    assert text.seconds(duration).replace(NARROW, " ") == said
