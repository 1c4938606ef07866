"""Seconds by stage: threads that overlap, tasks elsewhere, and nothing when it is off."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cytolens.core import profile
from cytolens.core.profile import Profile, profiling, stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that is set by hand."""
    now = [0.0]
    monkeypatch.setattr(profile.time, "perf_counter", lambda: now[0])
    yield now


def stages(measured: Profile) -> dict[str, tuple[float, float, int]]:
    found = measured.content()["stages"]
    return {one["name"]: (one["seconds"], one["busy"], one["calls"]) for one in found}


def test_a_stage_adds_up_over_its_calls(clock: list[float]) -> None:
    with profiling() as measured:
        assert measured is not None
        for seconds in (1.0, 2.5):
            with stage("decode"):
                clock[0] += seconds
            clock[0] += 10.0
    assert stages(measured) == {"decode": (3.5, 3.5, 2)}
    assert measured.content()["seconds"] == 23.5


def test_overlapping_threads_count_once_as_seconds_and_each_as_busy(clock: list[float]) -> None:
    """First in from 0 to 4, second from 1 to 6: 6 seconds with one at least, 9 of work."""
    entered, leave = threading.Event(), threading.Event()
    with profiling() as measured:
        assert measured is not None

        def first() -> None:
            with stage("read"):
                entered.set()
                assert leave.wait(60)

        other = threading.Thread(target=first)
        other.start()
        assert entered.wait(60)
        clock[0] = 1.0
        with stage("read"):
            clock[0] = 4.0
            leave.set()
            other.join(60)
            clock[0] = 6.0
    assert stages(measured) == {"read": (6.0, 9.0, 2)}


def test_a_stage_that_fails_is_counted_all_the_same(clock: list[float]) -> None:
    with profiling() as measured:
        assert measured is not None
        with pytest.raises(ZeroDivisionError), stage("train"):
            clock[0] += 2.0
            raise ZeroDivisionError
    assert stages(measured) == {"train": (2.0, 2.0, 1)}


def test_tasks_elsewhere_are_summed_apart(clock: list[float]) -> None:
    with profiling() as task:
        assert task is not None
        with stage("train"):
            clock[0] += 3.0
    with profiling() as measured:
        assert measured is not None
        assert measured.content()["elsewhere"] is None
        measured.add(task.content())
        measured.add(task.content())
    content = measured.content()
    assert content["stages"] == []
    assert content["elsewhere"] == {
        "tasks": 2,
        "stages": [{"name": "train", "seconds": 6.0, "busy": 6.0, "calls": 2}],
    }


def test_off_nothing_is_made_or_measured() -> None:
    with profiling(False) as measured:
        assert measured is None and profile.active() is None
        assert stage("decode") is stage("read"), "one object that does nothing"
        with stage("decode"), stage("decode"):
            pass


def test_afterwards_it_is_off_again() -> None:
    with pytest.raises(ZeroDivisionError), profiling():
        raise ZeroDivisionError
    assert profile.active() is None
