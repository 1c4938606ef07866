"""The audit log as an administrator searches, verifies and exports it; the page of the system."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from tests.clinic.tampering import unguarded

from cytolens.clinic import clock, trail
from cytolens.clinic.actor import Actor, system
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import audit
from cytolens.clinic.management.audit import Filters
from cytolens.clinic.management.system import system_state
from cytolens.clinic.tables import Entry, Job

Browser = Callable[[str | None], TestClient]


@pytest.fixture
def lines(clinic: Installation, people: Any) -> Installation:
    """A log of 60 lines: 55 openings by the doctor, 5 signatures by the second one."""
    with clinic.writing() as db:
        for number in range(55):
            trail.record(db, people.actors["doctor"], "case.opened", "case", number)
        for number in range(5):
            trail.record(
                db,
                people.actors["second_doctor"],
                "case.signed",
                "case",
                number,
                bundle="0123456789ab",
            )
    return clinic


def _ids(clinic: Installation, actor: Actor, filters: Filters, page: int = 1) -> list[int]:
    with clinic.reading() as db:
        return [entry.id for entry in audit.search(db, actor, filters, page).entries]


def test_search(lines: Installation, people: Any) -> None:
    actor = people.actors["administrator"]
    assert _ids(lines, actor, Filters()) == list(range(60, 10, -1))
    assert _ids(lines, actor, Filters(), 2) == list(range(10, 0, -1))
    assert _ids(lines, actor, Filters(), 99) == list(range(10, 0, -1))
    assert _ids(lines, actor, Filters(action="case.signed")) == [60, 59, 58, 57, 56]
    assert _ids(lines, actor, Filters(action="case.", key="3")) == [59, 4]
    assert _ids(lines, actor, Filters(user="SECOND")) == [60, 59, 58, 57, 56]
    assert _ids(lines, actor, Filters(user="%")) == []
    assert _ids(lines, actor, Filters(kind="report")) == []
    now = clock.now()
    assert _ids(lines, actor, Filters(since=now + timedelta(minutes=1))) == []
    assert _ids(lines, actor, Filters(until=now - timedelta(days=1))) == []
    assert len(_ids(lines, actor, Filters(since=now - timedelta(days=1), until=now))) == 50


def test_verify_says_which_line(lines: Installation, people: Any) -> None:
    actor = people.actors["administrator"]
    assert audit.verify(lines, actor) == audit.Verified(60, None)
    with lines.database.engine.begin() as connection, unguarded(connection):
        connection.execute(text("UPDATE entry SET key = '77' WHERE id = 8"))
    found = audit.verify(lines, actor)  # the verification before is line 61
    assert found.flaw is not None and found.flaw.line == 8


def test_the_export_in_json_lines_can_be_verified_elsewhere(
    lines: Installation, people: Any
) -> None:
    text_lines = list(audit.export(lines, people.actors["administrator"], Filters(), "jsonl"))
    rows = [json.loads(line) for line in text_lines]
    assert [row["id"] for row in rows] == list(range(1, 62))
    assert rows[-1]["action"] == "audit.exported"
    from datetime import datetime

    key, previous = lines.secret.key("audit log"), trail.FIRST
    for row in rows:
        entry = Entry(**row | {"at": datetime.fromisoformat(row["at"])})
        assert entry.previous == previous
        assert trail.line_hash(entry, key) == row["hash"]
        previous = row["hash"]


def test_the_export_in_csv_runs_no_formula(clinic: Installation, people: Any) -> None:
    stranger = Actor(None, '=HYPERLINK("http://evil")', None)
    with clinic.writing() as db:
        trail.record(db, stranger, "session.refused", "user", "", note="ä, b")
    text_lines = "".join(audit.export(clinic, people.actors["administrator"], Filters(), "csv"))
    rows = list(csv.DictReader(io.StringIO(text_lines)))
    assert rows[0]["username"] == '\'=HYPERLINK("http://evil")'
    assert json.loads(rows[0]["details"]) == {"note": "ä, b"}
    assert rows[0]["hash"] == rows[1]["previous"]
    with pytest.raises(Refused, match="'xls' is no format"):
        audit.export(clinic, people.actors["administrator"], Filters(), "xls")


def test_an_export_keeps_to_its_filters(lines: Installation, people: Any) -> None:
    wanted = Filters(action="case.signed")
    rows = list(audit.export(lines, people.actors["administrator"], wanted, "jsonl"))
    assert [json.loads(row)["id"] for row in rows] == [56, 57, 58, 59, 60]


def test_others_may_not(clinic: Installation, people: Any) -> None:
    for name in ("doctor", "director"):
        with clinic.reading() as db, pytest.raises(NotAllowed):
            audit.search(db, people.actors[name], Filters())
        with pytest.raises(NotAllowed):
            audit.verify(clinic, people.actors[name])
        with pytest.raises(NotAllowed):
            system_state(clinic, people.actors[name])


def test_the_pages(lines: Installation, browser: Browser) -> None:
    client = browser("administrator")
    first = client.get("/audit").text
    assert "case.signed" in first and "Page 1 of 2" in first
    assert "page=2" in first
    filtered = client.get("/audit?action=case.signed&since=&until=").text
    assert "5 lines" in filtered and "action=case.signed" in filtered
    assert "No line is like that" in client.get("/audit?user=nobody").text
    assert client.get("/audit?since=yesterday").status_code == 422
    assert "The audit log is whole: 60 lines" in client.post("/audit/verify").text
    exported = client.get("/audit/export.csv?user=second")
    assert exported.headers["Content-Disposition"] == 'attachment; filename="audit.csv"'
    assert len(exported.text.splitlines()) == 6
    assert len(client.get("/audit/export.jsonl?kind=case").text.splitlines()) == 60
    with lines.database.engine.begin() as connection, unguarded(connection):
        connection.execute(text("DELETE FROM entry WHERE id = 5"))
    broken = client.post("/audit/verify").text
    assert "not what was written" in broken and "line 5 is missing" in broken


def test_the_system_counts(
    clinic: Installation, make: Any, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make.image(make.case())
    with clinic.writing() as db:
        for state, kind in (("waiting", "finding"), ("failed", "explanation")):
            db.add(
                Job(
                    image_id=image,
                    specimen="cervix-liquid",
                    kind=kind,
                    state=state,
                    problem="out of memory" if state == "failed" else "",
                    created_at=clock.now(),
                )
            )
    state = system_state(clinic, system())
    assert state.queue == {("finding", "waiting"): 1, ("explanation", "failed"): 1}
    assert state.unread == ["cervix-liquid"] and state.problems == [("out of memory", 1)]
    assert (state.counts["images"], state.counts["accounts"]) == (1, 5)
    shown = browser("administrator").get("/system").text
    assert "no bundle is active for" in shown and "out of memory" in shown
    assert "Family" not in shown
    monkeypatch.setattr("cytolens.clinic.intake.landlock.offered", lambda: 0)
    assert "offers no Landlock" in browser("administrator").get("/system").text  # said, not hidden
    make.model()
    assert system_state(clinic, system()).unread == []
