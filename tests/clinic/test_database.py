"""Transactions that stand in each other's way end in one clear answer, not in a crash."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import event, text
from tests.clinic.conftest import People

from cytolens.clinic.errors import Conflict
from cytolens.clinic.installation import Installation, open_installation
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Site, User


def test_a_turn_that_does_not_come_is_a_conflict(empty_sqlite: Path, tmp_path: Path) -> None:
    (tmp_path / "clinic.sqlite").write_bytes(empty_sqlite.read_bytes())
    clinic = open_installation(Settings(tmp_path))

    def impatient(connection: object, record: object) -> None:
        del record
        connection.execute("PRAGMA busy_timeout = 50")  # type: ignore[attr-defined]

    event.listen(clinic.database.engine, "connect", impatient)
    clinic.close()  # connections made so far
    with clinic.writing(), pytest.raises(Conflict, match="nothing of yours"), clinic.writing():
        pass
    clinic.close()


def test_a_deadlock_is_a_conflict(clinic: Installation, people: People) -> None:
    if clinic.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: no deadlock")
    met = threading.Barrier(2, timeout=20)
    ends: list[str] = []

    def write(first: type, second: type, one: int, two: int) -> None:
        try:
            with clinic.writing() as db:
                db.get_one(first, one).name = "changed"
                db.flush()
                met.wait()
                db.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
                db.get_one(second, two).name = "changed"
                db.flush()
            ends.append("done")
        except Conflict:
            ends.append("conflict")

    site, user = people.sites["one"], people.users["doctor"]
    threads = [
        threading.Thread(target=write, args=(Site, User, site, user)),
        threading.Thread(target=write, args=(User, Site, user, site)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["conflict", "done"]
