"""The worklist: ranked by risk and age, filtered, paged, in two statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.desk import view, worklist
from cytolens.clinic.desk.worklist import PER_DAY, Filters, urgency
from cytolens.clinic.errors import NotAllowed
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, QualityDraw
from cytolens.core.errors import InputError

Browser = Callable[[str | None], TestClient]


@contextmanager
def counted(clinic: Installation) -> Iterator[list[str]]:
    """Collect the statements that are sent to the database."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        del connection, cursor, rest
        if statement != "BEGIN":
            sent.append(statement)

    event.listen(clinic.database.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(clinic.database.engine, "before_cursor_execute", note)


def _ids(
    clinic: Installation, people: People, filters: Filters | None = None, name: str = "doctor"
) -> list[int]:
    with clinic.reading() as db:
        return [row.id for row in worklist.worklist(db, people.actors[name], filters).rows]


def test_the_referred_and_abnormal_come_first_then_risk(
    clinic: Installation, people: People, make: Maker
) -> None:
    now = clock.now()
    stories = {  # decision, risk, days waited
        "clear": ("clear", 0.1, 0),
        "clearer": ("clear", 0.02, 0),
        "mild": ("abnormal", 0.3, 0),
        "abnormal": ("abnormal", 0.8, 0),
        "refer": ("refer", 1.0, 0),
        "waiting": (None, None, 0),
        "says nothing": (None, 0.4, 0),
        "clear, old": ("clear", 0.05, 9),
        "clear, very old": ("clear", 0.05, 21),
    }
    ids = {
        name: make.case(decision=decision, risk=risk)
        for name, (decision, risk, _) in stories.items()
    }
    with clinic.writing() as db:
        for name, (_, _, days) in stories.items():
            db.get_one(Case, ids[name]).received_at = now - timedelta(days=days)
    expected = [
        "clear, very old",
        "refer",
        "abnormal",
        "mild",
        "waiting",
        "clear, old",
        "says nothing",
        "clear",
        "clearer",
    ]
    assert _ids(clinic, people) == [ids[name] for name in expected]
    by_formula = sorted(
        stories,
        key=lambda name: -urgency(stories[name][1], stories[name][0], stories[name][2]),
    )
    assert by_formula == expected


def test_none_starves() -> None:
    days = 2 / PER_DAY + 0.01
    assert urgency(0.0, "clear", days) > urgency(1.0, "refer", 0)


def test_filters(clinic: Installation, people: People, make: Maker) -> None:
    mine = make.case(assigned_id=people.users["doctor"], risk=0.9)
    blood = make.case(specimen="blood-smear", status="preliminary", risk=0.8)
    signed = make.case(status="final", signed_at=clock.now())
    make.case(site="two")
    assert _ids(clinic, people) == [mine, blood]
    assert _ids(clinic, people, Filters(specimen="blood-smear")) == [blood]
    assert _ids(clinic, people, Filters(status="open")) == [mine]
    assert _ids(clinic, people, Filters(status="preliminary")) == [blood]
    assert _ids(clinic, people, Filters(status="signed")) == [signed]
    assert _ids(clinic, people, Filters(mine=True)) == [mine]
    assert _ids(clinic, people, Filters(text="family2")) == [blood]
    assert _ids(clinic, people, Filters(text="p1")) == [mine]
    assert _ids(clinic, people, Filters(text="0001")) == [mine]
    assert _ids(clinic, people, Filters(text="one given")) == [mine, blood]
    assert _ids(clinic, people, Filters(text="%")) == []
    for wrong in (Filters(specimen="urine"), Filters(status="lost"), Filters(text="x" * 121)):
        with pytest.raises(InputError):
            _ids(clinic, people, wrong)
    with pytest.raises(NotAllowed):
        _ids(clinic, people, name="director")


def test_pages_and_statements_do_not_grow_with_the_cases(
    clinic: Installation, people: People, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist, "PAGE", 4)
    model = make.model()
    for n in range(9):
        make.image(make.case(blind=n % 2 == 0), model, probability=n / 10)
    seen = []
    with clinic.reading() as db, counted(clinic) as sent:
        for number in (1, 2, 3, 9, -1):
            found = worklist.worklist(db, people.actors["doctor"], page=number)
            seen.append([row.id for row in found.rows])
            assert (found.count, found.pages) == (9, 3)
    assert len(sent) == 2 * 5
    assert [len(page) for page in seen] == [4, 4, 1, 1, 4]
    assert len({key for page in seen[:3] for key in page}) == 9


def test_the_worklist_uses_its_index(clinic: Installation, people: People, make: Maker) -> None:
    make.case()
    if not clinic.database.is_sqlite:
        pytest.skip("PostgreSQL chooses by its statistics; so few rows it reads through")
    with counted(clinic) as sent:
        _ids(clinic, people)
    count = sent[-2].replace("?", "'open'")
    with clinic.database.engine.connect() as connection:
        plan = " ".join(str(row) for row in connection.execute(text("EXPLAIN QUERY PLAN " + count)))
    assert "USING INDEX ix_case_worklist (site_id=? AND status=?)" in plan


def test_a_case_view_takes_as_many_statements_for_one_image_as_for_thirty(
    clinic: Installation, people: People, make: Maker
) -> None:
    model = make.model()
    few, many = make.case(), make.case()
    make.image(few, model)
    for n in range(30):
        make.image(many, model if n % 3 else None)
    counts = []
    for case_id in (few, many):
        with clinic.reading() as db, counted(clinic) as sent:
            view.view(db, people.actors["doctor"], case_id)
        counts.append(len(sent))
    assert counts[0] == counts[1] <= 8


def test_pages_of_the_worklist(browser: Browser, clinic: Installation, make: Maker) -> None:
    doctor = browser("doctor")
    assert "Nothing waits to be read" in doctor.get("/worklist").text
    case_id, waiting = make.case(), make.case()
    make.image(case_id, make.model(), probability=0.83)
    make.image(waiting)
    page = doctor.get("/worklist")
    assert page.status_code == 200
    assert f'href="/cases/{case_id}"' in page.text and "83.0" in page.text
    assert "badge abnormal" in page.text and "Abnormal" in page.text
    assert "(1 waiting)" in page.text and "badge waiting" in page.text
    assert "not a diagnosis" in page.text
    assert "No case fits" in doctor.get("/worklist?text=nowhere").text
    assert f'href="/cases/{case_id}"' not in browser("doctor_two").get("/worklist").text
    assert doctor.get("/worklist?status=lost").status_code == 422
    assert browser("director").get("/worklist").status_code == 403
    with clinic.writing() as db:
        db.get_one(Case, case_id).status = "final"
        db.add(QualityDraw(case_id=case_id, period="2026-11", drawn_at=clock.now()))
    assert "1 case was drawn for a quality reading" in doctor.get("/worklist").text
