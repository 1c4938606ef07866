"""Two people who correct one patient at once: the later is told, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic.desk import patients
from cytolens.clinic.desk.patients import Identity
from cytolens.clinic.errors import Conflict
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Entry, Patient

Browser = Callable[[str | None], TestClient]
SAID = "The patient was corrected since you looked at it; nothing of yours was kept."


@pytest.fixture
def patient(clinic: Installation, people: People) -> int:
    with clinic.writing() as db:
        identity = Identity("P-1", "García", "María")
        return patients.create(db, people.actors["doctor"], people.sites["one"], identity).id


def _known(clinic: Installation, patient: int) -> tuple[str, int]:
    with clinic.reading() as db:
        row = db.get_one(Patient, patient)
        return row.family_name, row.revision


def _correct(clinic: Installation, by: Any, patient: int, revision: int, name: str) -> int:
    with clinic.writing() as db:
        made = patients.correct(db, by, patient, revision, Identity("P-1", name, "María"))
        return made.revision


def test_the_later_one_is_told(clinic: Installation, people: People, patient: int) -> None:
    first, second = people.actors["doctor"], people.actors["second_doctor"]
    assert _known(clinic, patient) == ("García", 1)
    assert _correct(clinic, first, patient, 1, "García Ruiz") == 2
    with pytest.raises(Conflict, match=SAID):
        _correct(clinic, second, patient, 1, "Ruiz García")
    assert _known(clinic, patient) == ("García Ruiz", 2)
    assert _correct(clinic, second, patient, 2, "García Ruiz") == 2  # nothing is different
    assert _correct(clinic, second, patient, 2, "Ruiz García") == 3
    with clinic.reading() as db:
        lines = db.scalars(select(Entry).where(Entry.action == "patient.corrected")).all()
    assert [line.details for line in lines] == [{"fields": ["family_name"]}] * 2


def test_one_of_many_at_once(clinic: Installation, people: People, patient: int) -> None:
    start = Barrier(4)

    def correct(name: str) -> str:
        start.wait()
        try:
            _correct(clinic, people.actors["doctor"], patient, 1, name)
        except Conflict:
            return ""
        return name

    with ThreadPoolExecutor(4) as threads:
        done = [name for name in threads.map(correct, ("A", "B", "C", "D")) if name]
    assert len(done) == 1 and _known(clinic, patient) == (done[0], 2)


def _revision(page: str) -> str:
    [found] = re.findall(r'name="revision" value="(\d+)"', page)
    return found


def test_the_page(clinic: Installation, browser: Browser, patient: int) -> None:
    address = f"/patients/{patient}"
    first, second = browser("doctor"), browser("second_doctor")
    sent = {"revision": _revision(second.get(address).text), "number": "P-1", "sex": "female"}
    same = sent | {"family_name": "García Ruiz"}
    assert first.post(address, data=same).status_code == 303
    late = second.post(address, data=sent | {"family_name": "Ruiz"})
    assert late.status_code == 409 and SAID in late.text
    assert (
        'value="Ruiz"' in late.text and "<h1>García Ruiz" in late.text
    )  # typed, and what is there
    again = sent | {"family_name": "Ruiz", "revision": _revision(late.text)}
    assert second.post(address, data=again).status_code == 303
    assert _known(clinic, patient) == ("Ruiz", 3)
    unread = again | {"revision": "2", "birth_date": "someday"}  # refused before anybody looks
    shown = second.post(address, data=unread)
    assert shown.status_code == 422 and _revision(shown.text) == "2", "not the newest one"
    without = {name: value for name, value in again.items() if name != "revision"}
    assert second.post(address, data=without).status_code == 409


def test_the_machine_interface(
    clinic: Installation, machine: Callable[..., TestClient], patient: int
) -> None:
    program, address = machine("doctor"), f"/api/v1/patients/{patient}"
    found = program.get(address).json()
    assert found["revision"] == 1
    given = {"number": "P-1", "family_name": "García Ruiz"}
    assert program.put(address, json=given).status_code == 422  # no revision
    changed = program.put(address, json=given | {"revision": 1})
    assert changed.status_code == 200 and changed.json()["revision"] == 2
    late = program.put(address, json=given | {"revision": 1, "family_name": "Ruiz"})
    assert late.status_code == 409 and late.json()["what"] == SAID
    assert _known(clinic, patient) == ("García Ruiz", 2)
