"""The audit log finds every change, deletion and reordering."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.clinic.tampering import unguarded

from cytolens.clinic import trail
from cytolens.clinic.actor import system
from cytolens.clinic.installation import Installation


@pytest.fixture
def five(clinic: Installation) -> Installation:
    with clinic.writing() as db:
        for number in range(5):
            trail.record(db, system(), "case.opened", "case", number, note="ä")
    return clinic


def _verify(clinic: Installation) -> tuple[int, str]:
    with clinic.reading() as db:
        lines, flaw = trail.verify(db, clinic.head)
    return lines, "" if flaw is None else f"{flaw.line}: {flaw.what}"


def _change(clinic: Installation, *statements: str) -> None:
    with clinic.database.engine.begin() as connection, unguarded(connection):
        for statement in statements:
            connection.execute(text(statement))


def test_an_untouched_log_is_whole(five: Installation) -> None:
    assert _verify(five) == (5, "")


@pytest.mark.parametrize(
    "statement, said",
    [
        ("UPDATE entry SET action = 'case.signed' WHERE id = 3", "3: line 3 was changed"),
        ("UPDATE entry SET details = '{}' WHERE id = 3", "3: line 3 was changed"),
        ("UPDATE entry SET at = '2020-01-01 00:00:00' WHERE id = 3", "3: line 3 was changed"),
        ("DELETE FROM entry WHERE id = 3", "3: line 3 is missing"),
        ("DELETE FROM entry WHERE id >= 4", "4: lines 4 to 5 were cut off"),
        ("DELETE FROM entry", "1: lines 1 to 5 were cut off"),
    ],
)
def test_a_touched_line_is_found(five: Installation, statement: str, said: str) -> None:
    _change(five, statement)
    assert said in _verify(five)[1]


def test_reordered_lines_are_found(five: Installation) -> None:
    _change(
        five,
        "UPDATE entry SET id = 99 WHERE id = 2",
        "UPDATE entry SET id = 2 WHERE id = 3",
        "UPDATE entry SET id = 3 WHERE id = 99",
    )
    assert _verify(five)[1] == "2: line 2 does not follow the line before it"


def test_a_deleted_line_with_numbers_closed_up_is_found(five: Installation) -> None:
    _change(five, "DELETE FROM entry WHERE id = 3", "UPDATE entry SET id = id - 1 WHERE id > 3")
    assert _verify(five)[1] == "3: line 3 does not follow the line before it"


def test_a_chain_made_anew_without_the_secret_is_found(five: Installation) -> None:
    with five.database.writing() as db, unguarded(db):
        db.info[trail.KEY] = b"another key"
        last = db.get_one(trail.Entry, 5)
        last.action = "case.forged"
        last.hash = trail.line_hash(last, db.info[trail.KEY])
    assert _verify(five)[1] == "5: line 5 was changed"


def test_a_line_is_dropped_with_its_transaction(five: Installation) -> None:
    with pytest.raises(ZeroDivisionError), five.writing() as db:
        trail.record(db, system(), "case.opened", "case", 9)
        raise ZeroDivisionError
    assert _verify(five) == (5, "")
