"""Readings: what the audit log tells an administrator of them, and what counts as blind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fastapi.testclient import TestClient
from tests.clinic.conftest import Maker, People

from cytolens.clinic.desk import readings
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Case

SAID = ("HSIL", "downgrade", "upgrade", "abnormal", "clear", "refer")


def test_the_audit_log_tells_an_administrator_no_diagnosis(
    clinic: Installation,
    people: People,
    make: Maker,
    browser: Callable[[str | None], TestClient],
) -> None:
    case = make.case(images_count=1, risk=0.1, decision="clear")
    make.image(case, make.model())
    with clinic.writing() as db:
        revision = db.get_one(Case, case).revision
        readings.enter(
            db, people.actors["doctor"], case, "primary", "HSIL", "upgrade", "", revision
        )
    log = browser("administrator").get("/audit/export.jsonl").text
    assert "reading.entered" in log
    assert not [word for word in SAID if word in log]


def test_a_token_that_may_not_see_findings_makes_no_reading_blind(
    clinic: Installation, people: People, make: Maker
) -> None:
    case = make.case(images_count=1, risk=0.9, decision="abnormal")
    limited = replace(
        people.actors["doctor"], only=frozenset({Action.READ_CASES, Action.WRITE_READINGS})
    )
    with clinic.writing() as db:
        revision = db.get_one(Case, case).revision
        made = readings.enter(db, limited, case, "primary", "HSIL", "", "", revision)
        assert not made.blind
    hidden = make.case(images_count=1, risk=0.9, decision="abnormal", blind=True)
    with clinic.writing() as db:
        revision = db.get_one(Case, hidden).revision
        assert readings.enter(db, limited, hidden, "primary", "HSIL", "", "", revision).blind
