"""Texts of strangers: they hold nobody up, and names are found as people write them."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import directory
from cytolens.clinic.sentences import Sentences
from cytolens.clinic.tables import User
from cytolens.clinic.web.optional import day, whole


def test_what_is_longer_than_a_sentence_is_not_taken_apart() -> None:
    told = Sentences({"a {0} b": "A {0} B", "long " * 200: "largo"}).told
    assert told("a " + "x" * 400 + " b") == "A " + "x" * 400 + " B"
    assert told("a " + "x" * 600 + " b") == "a " + "x" * 600 + " b"
    assert told("long " * 200) == "largo"


def test_a_long_address_is_not_said_back() -> None:
    for read in (day, whole):
        with pytest.raises(Refused) as refused:
            read("9" * 5000 + "x", "since")
        assert len(str(refused.value.what)) < 100


def test_accounts_are_found_without_accents(clinic: Installation, people: People) -> None:
    with clinic.writing() as db:
        doctor = db.scalars(select(User).where(User.username == "doctor")).one()
        doctor.name = "Dra. ÁNGELA Núñez"
    with clinic.reading() as db:
        for part in ("ángela", "ANGELA nun", "Núñez", "nunez"):
            found = directory.list_users(db, people.actors["administrator"], part)
            assert [user.username for user in found.users] == ["doctor"], part
