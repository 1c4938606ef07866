"""The quality sample: never below its share, by a lot that can be repeated, once."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from scipy.stats import binomtest
from sqlalchemy import select

from cytolens.clinic import clock
from cytolens.clinic.desk import quality as desk
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight import quality
from cytolens.clinic.oversight.quality import Drawn, chosen, mixed_in, wanted
from cytolens.clinic.oversight.second_readings import clopper_pearson, results
from cytolens.clinic.tables import Entry, QualityDraw, Reading
from cytolens.core.files import sha256_json

sys.path.append(str(Path(__file__).parent))
from signed_case import sign

MONTH = "2026-10"
DAY = datetime(2026, 10, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 2, 9, tzinfo=UTC))


@pytest.mark.parametrize("percent", [15, 16, 20, 33, 100])
def test_the_share_is_never_missed(percent: int) -> None:
    for n in range(2000):
        assert wanted(n, percent) == math.ceil(Fraction(n * percent, 100))
        assert wanted(n, percent) <= n


def _draw(clinic: Installation, people: Any, seed: int | None = None) -> list[Drawn]:
    with clinic.writing() as db:
        return quality.draw(db, people.actors["director"], MONTH, seed)


def _drawn(clinic: Installation) -> list[int]:
    with clinic.reading() as db:
        return sorted(db.scalars(select(QualityDraw.case_id)))


def _clear(clinic: Installation, people: Any, make: Any, count: int, site: str = "one") -> set[int]:
    cases = {make.case(site) for _ in range(count)}
    for case in cases:
        sign(clinic, people, case, "NILM", DAY)
    return cases


def test_signed_cases_of_the_month_alone_are_drawn(
    clinic: Installation, people: Any, make: Any
) -> None:
    cleared = _clear(clinic, people, make, 14)
    hsil = make.case()
    sign(clinic, people, hsil, "HSIL", DAY)
    sign(clinic, people, make.case(), "UNSAT", DAY)
    sign(clinic, people, make.case(), "NILM", DAY + timedelta(days=30))
    amended = make.case()
    sign(clinic, people, amended, "NILM", DAY)
    sign(clinic, people, amended, "LSIL", DAY + timedelta(days=2))
    _clear(clinic, people, make, 10, "two")
    make.case()
    [state] = _draw(clinic, people)
    assert (state.cleared, state.target, state.drawn, state.new) == (14, 3, 3, 4)
    assert (state.abnormal, state.mixed_target, state.mixed) == (2, 1, 1)
    drawn = set(_drawn(clinic))
    assert len(drawn) == 4 and len(drawn & cleared) == 3 and drawn - cleared < {hsil, amended}


def test_the_lot_is_drawn_once_and_can_be_repeated(
    clinic: Installation, people: Any, make: Any
) -> None:
    cleared = sorted(_clear(clinic, people, make, 20))
    _draw(clinic, people)
    drawn = _drawn(clinic)
    [again] = _draw(clinic, people)
    assert again.new == 0 and _drawn(clinic) == drawn
    with clinic.reading() as db:
        [line] = db.scalars(select(Entry).where(Entry.action == "quality.drawn")).all()
    told = line.details
    assert (told["cleared"], told["among"], told["percent"], told["drawn"]) == (20, 20, 15, drawn)
    assert chosen(cleared, 3, told["seed"], people.sites["one"], MONTH) == drawn
    assert chosen(cleared[::-1], 3, told["seed"], people.sites["one"], MONTH) == drawn
    assert line.site_id == people.sites["one"]


def test_what_is_cleared_later_is_drawn_from_too(
    clinic: Installation, people: Any, make: Any
) -> None:
    _clear(clinic, people, make, 7)
    [first] = _draw(clinic, people, seed=1)
    _clear(clinic, people, make, 13)
    [second] = _draw(clinic, people, seed=2)
    assert (first.drawn, second.new, second.drawn, second.target) == (2, 1, 3, 3)


def test_every_case_may_be_drawn() -> None:
    taken = {case for seed in range(200) for case in chosen(range(20), 3, seed, 1, MONTH)}
    assert taken == set(range(20))


@pytest.mark.parametrize("percent", [14, 0, -1, 101])
def test_the_share_stays_at_fifteen_or_above(
    clinic: Installation, people: Any, percent: int
) -> None:
    with clinic.writing() as db, pytest.raises(Refused, match="15 to 100 % of cleared cases"):
        quality.choose_percent(db, people.actors["director"], percent)


def test_the_director_may_ask_for_more(clinic: Installation, people: Any, make: Any) -> None:
    _clear(clinic, people, make, 10)
    with clinic.writing() as db:
        quality.choose_percent(db, people.actors["director"], 50)
    [state] = _draw(clinic, people)
    assert (state.percent, state.drawn) == (50, 5)
    with clinic.reading() as db:
        assert quality.percent_of(db, people.sites["two"]) == 15


def test_months(clinic: Installation, people: Any) -> None:
    with clinic.writing() as db, pytest.raises(Refused, match="no month"):
        quality.draw(db, people.actors["director"], "2026")
    with clinic.writing() as db, pytest.raises(Refused, match="has not begun"):
        quality.draw(db, people.actors["director"], "2026-12")
    for name in ("doctor", "administrator"):
        with clinic.writing() as db, pytest.raises(NotAllowed):
            quality.draw(db, people.actors[name], MONTH)


@pytest.mark.parametrize("successes, n", [(0, 10), (1, 10), (5, 10), (10, 10), (3, 400)])
def test_the_interval_is_exact(successes: int, n: int) -> None:
    exact = binomtest(successes, n).proportion_ci(method="exact")
    assert clopper_pearson(successes, n) == pytest.approx((exact.low, exact.high))


def test_nothing_says_nothing() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def _reread(clinic: Installation, people: Any, case: int, category: str) -> None:
    with clinic.writing() as db:
        reading = Reading(
            case_id=case, doctor_id=people.users["second_doctor"], kind="quality",
            category=category, verdict="inconclusive", blind=True, created_at=clock.now(),
        )  # fmt: skip
        db.add(reading)
        db.flush()
        draw = db.scalars(select(QualityDraw).where(QualityDraw.case_id == case)).one()
        draw.reading_id = reading.id


def test_one_abnormal_case_is_mixed_among_five() -> None:
    assert [mixed_in(n, 99) for n in (0, 1, 4, 5, 6, 10, 11)] == [0, 1, 1, 1, 2, 2, 3]
    assert [mixed_in(11, n) for n in (0, 2, 3, 4)] == [0, 2, 3, 3]


def _abnormal(clinic: Installation, people: Any, make: Any, count: int) -> list[int]:
    cases = [make.case() for _ in range(count)]
    for case in cases:
        sign(clinic, people, case, "LSIL", DAY)
    return cases


def test_the_lot_of_abnormal_cases_can_be_repeated_too(
    clinic: Installation, people: Any, make: Any
) -> None:
    cleared = sorted(_clear(clinic, people, make, 60))
    abnormal = _abnormal(clinic, people, make, 20)
    [state] = _draw(clinic, people)
    assert (state.target, state.drawn, state.mixed_target, state.mixed) == (9, 9, 2, 2)
    with clinic.reading() as db:
        [line] = db.scalars(select(Entry).where(Entry.action == "quality.drawn")).all()
    told, site = line.details, people.sites["one"]
    clear = chosen(cleared, 9, told["seed"], site, MONTH)
    mixed = chosen(abnormal, 2, told["seed"], site, MONTH, kind="abnormal")
    assert _drawn(clinic) == told["drawn"] == sorted(clear + mixed)  # which is which is not said
    assert told["mixed"] == 2
    assert told["among_abnormal"] == 20 and told["among_abnormal_sha256"] == sha256_json(abnormal)
    with clinic.reading() as db:  # who re-reads meets both kinds in the order of the cases
        rows = desk.waiting(db, people.actors["second_doctor"])
    assert [row.case_id for row in rows] == _drawn(clinic)
    [again] = _draw(clinic, people)
    assert again.new == 0


def test_without_abnormal_cases_the_share_of_cleared_ones_stands(
    clinic: Installation, people: Any, make: Any
) -> None:
    _clear(clinic, people, make, 40)
    [state] = _draw(clinic, people)
    assert (state.drawn, state.target, state.mixed, state.mixed_target) == (6, 6, 0, 0)
    _abnormal(clinic, people, make, 1)
    [state] = _draw(clinic, people)
    assert (state.new, state.drawn, state.mixed, state.mixed_target) == (1, 6, 1, 1)


def test_abnormal_cases_alone_are_not_drawn(clinic: Installation, people: Any, make: Any) -> None:
    _abnormal(clinic, people, make, 3)
    [state] = _draw(clinic, people)
    assert (state.abnormal, state.mixed_target, state.new) == (3, 0, 0) and _drawn(clinic) == []


def test_the_two_kinds_are_counted_apart(clinic: Installation, people: Any, make: Any) -> None:
    cleared = _clear(clinic, people, make, 30)
    _abnormal(clinic, people, make, 5)
    _draw(clinic, people)
    [mixed] = set(_drawn(clinic)) - cleared
    first, second = sorted(set(_drawn(clinic)) & cleared)[:2]
    for case, category in ((mixed, "NILM"), (first, "NILM"), (second, "LSIL")):
        _reread(clinic, people, case, category)
    sign(clinic, people, first, "HSIL", clock.now() + timedelta(days=1))  # amended since
    with clinic.reading() as db:
        found = results(db, people.actors["director"])
        [state] = quality.states(db, people.actors["director"], MONTH)
    assert (found.drawn, found.read, found.said, found.missed, found.same) == (5, 2, 2, 1, 1)
    assert [case.case for case in found.cases] == [second]
    apart = found.mixed
    assert (apart.drawn, apart.read, apart.said, apart.cleared, apart.same) == (1, 1, 1, 1, 0)
    assert apart.share == 1 and (apart.low, apart.high) == pytest.approx(clopper_pearson(1, 1))
    assert (state.drawn, state.read, state.mixed, state.mixed_read) == (5, 2, 1, 1)


def test_results(clinic: Installation, people: Any, make: Any) -> None:
    _clear(clinic, people, make, 30)
    [state] = _draw(clinic, people)
    assert state.drawn == 5
    drawn = _drawn(clinic)
    for case, category in zip(drawn, ["NILM", "NILM", "HSIL", "UNSAT"], strict=False):
        _reread(clinic, people, case, category)
    sign(clinic, people, drawn[2], "HSIL", clock.now() + timedelta(days=1))  # amended since
    with clinic.reading() as db:
        found = results(db, people.actors["director"])
        [after] = quality.states(db, people.actors["director"], MONTH)
        before = results(db, people.actors["director"], last=DAY.date().replace(month=9))
    assert (found.drawn, found.read, found.said, found.missed, found.same) == (5, 4, 3, 1, 2)
    assert found.share == pytest.approx(1 / 3)
    assert (found.low, found.high) == pytest.approx(clopper_pearson(1, 3))
    [missed] = found.cases
    assert (missed.first, missed.first_doctor) == ("NILM", "doctor")
    assert (missed.second, missed.second_doctor) == ("HSIL", "second_doctor")
    assert after.read == 4 and before.drawn == 0


def test_the_pages(
    clinic: Installation, people: Any, make: Any, browser: Callable[[str | None], TestClient]
) -> None:
    _clear(clinic, people, make, 10)
    client = browser("director")
    assert "to be drawn" in client.get(f"/quality-control?period={MONTH}").text
    assert client.post("/quality-control/draw", data={"period": MONTH}).status_code == 303
    shown = client.get(f"/quality-control?period={MONTH}").text
    assert "being read" in shown and "Family" not in shown
    _reread(clinic, people, _drawn(clinic)[0], "HSIL")
    shown = client.get(f"/quality-control?period={MONTH}").text
    assert "HSIL" in shown and "95 %: 2.5 % to 100.0 %" in shown.replace("\N{NO-BREAK SPACE}", " ")
    assert client.post("/quality-control/share", data={"percent": "10"}).status_code == 422
    assert client.post("/quality-control/share", data={"percent": "20"}).status_code == 303
    assert client.get("/quality-control?period=x").status_code == 422
    assert client.post("/quality-control/draw", data={"period": "2026-12"}).status_code == 422
