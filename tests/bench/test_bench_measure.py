"""Measuring: turns, ratios of neighbours, marks."""

from __future__ import annotations

import json
import time

import pytest

from cytolens.bench.measure import (
    Line,
    Spread,
    Took,
    in_turns,
    not_measured,
    rate_line,
    seconds,
    time_line,
    value_line,
)


def test_a_spread_is_the_median_and_the_ends() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 9.0]) == Spread(2.5, 1.0, 9.0)


def test_seconds_are_the_clocks_or_those_a_way_took() -> None:
    assert 0.02 <= seconds(lambda: time.sleep(0.02)) < 5
    assert seconds(lambda: Took(42.0)) == 42.0
    assert seconds(lambda: 42.0) < 1  # any other number is a result


def test_ways_take_turns_after_warming_up() -> None:
    calls: list[str] = []
    times = in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, warm=2)
    assert calls == ["a", "b"] * 5
    assert [len(values) for values in times.values()] == [3, 3]


TIMES = {"ours": [1.0, 2.0, 4.0], "plain": [3.0, 4.0, 4.0]}


def test_a_ratio_is_that_of_neighbours() -> None:
    line = time_line("x", TIMES, "plain", mark=2.0)
    assert line.ours == Spread(2.0, 1.0, 4.0) and line.others == Spread(4.0, 3.0, 4.0)
    assert line.ratio == Spread(2.0, 1.0, 3.0)  # 3, 2 and 1: the median of ratios
    assert line.unit == "s" and line.met is True


def test_rates_turn_seconds_round_and_keep_the_ratio() -> None:
    line = rate_line("x", 12, TIMES, "plain", mark=2.5)
    assert line.ours == Spread(6.0, 3.0, 12.0) and line.others == Spread(3.0, 3.0, 4.0)
    assert line.ratio == Spread(2.0, 1.0, 3.0)
    assert line.met is False


@pytest.mark.parametrize(
    ("values", "mark", "larger", "met"),
    [([1.0], 1.0, False, True), ([1.1], 1.0, False, False), ([1.1], 1.0, True, True),
     ([1.0], None, True, None)],
)  # fmt: skip
def test_a_value_alone_is_held_against_its_mark(
    values: list[float], mark: float | None, larger: bool, met: bool | None
) -> None:
    assert value_line("x", values, "s", mark=mark, larger=larger).met is met


def test_what_was_not_measured_neither_meets_nor_misses() -> None:
    line = not_measured("x", "Keras", [1.0], "images/s", "not installed: keras", 50.0)
    assert line.met is None and line.larger and line.ratio is None
    assert not not_measured("x", "Keras", [1.0], "s", "why").larger


def test_a_line_is_plain_data() -> None:
    content = json.loads(json.dumps(time_line("x", TIMES, "plain", note="n").to_json()))
    assert content["ratio"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert set(content) == {*vars(Line("", "", "", Spread(1, 1, 1))), "met"}
