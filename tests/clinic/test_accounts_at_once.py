"""What two people, or one with two windows, do in the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyotp
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import invitations, second_factor, sign_in
from cytolens.clinic.accounts.first import first_link
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import users
from cytolens.clinic.tables import Invitation, User

GOOD = "mango turbina 44 lluvia"


def _at_once(*tasks: Callable[[], object]) -> list[object]:
    """Run all in the same moment; return what each gave, or the error it was refused with."""
    start = Barrier(len(tasks))

    def run(task: Callable[[], object]) -> object:
        start.wait()
        try:
            return task()
        except Refused as error:
            return error

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


def _done(results: list[object]) -> int:
    return sum(not isinstance(result, Refused) for result in results)


def test_two_administrators_who_demote_each_other(
    clinic: Installation, people: People, with_passwords: str
) -> None:
    del with_passwords
    names = ("administrator", "doctor")
    with clinic.writing() as db:
        users.assign(
            db, people.actors["administrator"], people.users["doctor"], "administrator", []
        )
    actors = [
        Actor(people.users[name], name, people.actors["administrator"].role) for name in names
    ]

    def demote(actor: Actor, other: str) -> Callable[[], None]:
        def run() -> None:
            with clinic.writing() as db:
                users.assign(db, actor, people.users[other], "doctor", [people.sites["one"]])

        return run

    results = _at_once(demote(actors[0], names[1]), demote(actors[1], names[0]))
    assert _done(results) == 1, results
    with clinic.reading() as db:
        left = db.scalars(select(User.username).where(User.role == "administrator")).all()
    assert len(left) == 1


def test_a_link_used_twice(clinic: Installation, people: People) -> None:
    with clinic.writing() as db:
        token = users.reset(db, people.actors["administrator"], people.users["doctor"])
    results = _at_once(
        *(
            lambda number=number: invitations.accept(clinic, token, GOOD + number, address="")
            for number in "123"
        )
    )
    assert _done(results) == 1, results
    with clinic.reading() as db:
        assert db.scalars(select(Invitation.used_at)).one() is not None


def test_a_code_used_twice(
    clinic: Installation,
    people: People,
    with_passwords: str,
    pass_time: Callable[..., None],
) -> None:
    doctor = people.actors["doctor"]
    offer = second_factor.offer(clinic, doctor)
    totp = pyotp.TOTP(offer.words.replace(" ", ""))
    now = totp.at(clock.now())
    second_factor.set_up(clinic, doctor, offer.sealed, now, with_passwords)
    pass_time(seconds=60)
    code, caller = totp.at(clock.now()), sign_in.Caller("127.0.0.1")
    results = _at_once(
        *(lambda: sign_in.pass_second_factor(clinic, doctor, code, caller) for _ in range(3))
    )
    assert _done(results) == 1, results


def test_every_wrong_password_is_counted(
    clinic: Installation, people: People, with_passwords: str
) -> None:
    del with_passwords
    results = _at_once(
        *(
            lambda: sign_in.sign_in(clinic, "doctor", "wrong", sign_in.Caller("127.0.0.1"))
            for _ in range(4)
        )
    )
    assert _done(results) == 0
    with clinic.reading() as db:
        assert db.get_one(User, people.users["doctor"]).failures == 4
        assert trail.verify(db, clinic.head)[1] is None


def test_two_first_starts_make_one_account(clinic: Installation) -> None:
    links = _at_once(lambda: first_link(clinic), lambda: first_link(clinic))
    assert all(isinstance(link, str) for link in links)
    with clinic.reading() as db:
        assert len(db.scalars(select(User)).all()) == 1
        assert len(db.scalars(select(Invitation).where(Invitation.used_at.is_(None))).all()) == 1
