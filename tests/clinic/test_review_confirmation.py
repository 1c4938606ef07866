"""Who is signed in is asked again who it is: what that holds up, forgives and leaves behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from cytolens.clinic import clock
from cytolens.clinic.accounts import passwords, profile, second_factor
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotAllowed, NotSignedIn, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Entry, SignIn, User
from cytolens.core.files import read_json

PassTime = Callable[..., None]


@pytest.fixture
def doctor(in_session: Callable[[str], Actor], with_passwords: str) -> Actor:
    del with_passwords
    return in_session("doctor")


@pytest.fixture
def telephone(
    clinic: Installation, doctor: Actor, with_passwords: str, pass_time: PassTime
) -> pyotp.TOTP:
    """The doctor's authenticator; a code that was shown since is not used."""
    offer = second_factor.offer(clinic, doctor)
    totp = pyotp.TOTP(offer.words.replace(" ", ""))
    second_factor.set_up(clinic, doctor, offer.sealed, totp.at(clock.now()), with_passwords)
    pass_time(minutes=2)
    return totp


def _user(clinic: Installation, actor: Actor) -> User:
    with clinic.reading() as db:
        return db.get_one(User, actor.user)


def _session(clinic: Installation, actor: Actor) -> SignIn | None:
    with clinic.reading() as db:
        return db.get(SignIn, actor.session)


@pytest.mark.usefixtures("telephone")
def test_the_password_alone_forgives_no_wrong_codes(
    clinic: Installation, doctor: Actor, with_passwords: str
) -> None:
    for _ in range(clinic.settings.login_tries - 1):
        with pytest.raises(NotAllowed, match="code is wrong"):
            second_factor.confirm(clinic, doctor, with_passwords, "000000")
        with pytest.raises(Refused):  # the right password, though nothing is changed
            profile.change_password(clinic, doctor, None, with_passwords, with_passwords)
    with pytest.raises(NotSignedIn, match="too many wrong"):
        second_factor.confirm(clinic, doctor, with_passwords, "000000")
    assert _session(clinic, doctor) is None


def test_a_code_forgives(
    clinic: Installation, doctor: Actor, telephone: pyotp.TOTP, with_passwords: str
) -> None:
    with pytest.raises(NotAllowed, match="code is wrong"):
        second_factor.confirm(clinic, doctor, with_passwords, "000000")
    code = telephone.at(clock.now())
    second_factor.confirm(clinic, doctor, with_passwords, code)
    session = _session(clinic, doctor)
    assert session is not None and session.failures == 0
    with pytest.raises(NotAllowed, match="was used"):
        second_factor.confirm(clinic, doctor, with_passwords, code)


def test_the_second_factor_is_not_turned_off_or_replaced_without_itself(
    clinic: Installation,
    doctor: Actor,
    browser: Callable[[str | None], TestClient],
    telephone: pyotp.TOTP,
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    client = browser("doctor")
    assert 'name="code"' in client.get("/account").text
    sent = {"password": with_passwords}
    off = client.post("/account/second-factor/off", data=sent)
    assert off.status_code == 403 and "The code is wrong" in off.text
    assert 'name="present"' in client.get("/account/second-factor").text
    offer = second_factor.offer(clinic, doctor)
    other = pyotp.TOTP(offer.words.replace(" ", ""))
    sent |= {"sealed": offer.sealed, "code": other.at(clock.now())}
    replaced = client.post("/account/second-factor", data=sent)
    assert replaced.status_code == 403 and "The code is wrong" in replaced.text
    sent |= {"present": telephone.at(clock.now())}
    assert client.post("/account/second-factor", data=sent).status_code == 200
    pass_time(minutes=2)
    sent = {"password": with_passwords, "code": other.at(clock.now())}
    off = browser("doctor").post("/account/second-factor/off", data=sent)
    assert off.headers["location"] == "/account?done=no-second-factor"
    assert _user(clinic, doctor).totp_secret is None


def test_nobody_waits_for_the_database_while_a_password_is_judged(
    clinic: Installation, doctor: Actor, with_passwords: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not clinic.database.is_sqlite:
        pytest.skip("PostgreSQL has no lock of all that is written")
    judged, judge = [], passwords.matches

    def watched(password: str, stored: str | None) -> bool:
        other = sqlite3.connect(clinic.settings.data / "clinic.sqlite", timeout=0.05)
        other.execute("BEGIN IMMEDIATE")
        other.rollback()
        other.close()
        judged.append(password)
        return judge(password, stored)

    monkeypatch.setattr(passwords, "matches", watched)
    second_factor.confirm(clinic, doctor, with_passwords)
    profile.change_password(clinic, doctor, None, with_passwords, "mango turbina 44 lluvia")
    assert judged == [with_passwords, with_passwords]


def test_the_last_line_of_a_refusal_is_known_beside_the_database(
    clinic: Installation, doctor: Actor
) -> None:
    with pytest.raises(NotAllowed, match="password is wrong"):
        second_factor.confirm(clinic, doctor, "wrong")
    with clinic.reading() as db:
        assert read_json(clinic.head, "head")["line"] == db.scalar(select(func.max(Entry.id)))


def test_a_password_that_was_changed_meanwhile_confirms_nothing(
    clinic: Installation, doctor: Actor, with_passwords: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = passwords.matches

    def overtaken(password: str, stored: str | None) -> bool:
        with clinic.writing() as db:
            db.get_one(User, doctor.user).password_hash = "another"
        return judge(password, stored)

    monkeypatch.setattr(passwords, "matches", overtaken)
    with pytest.raises(NotAllowed, match="password is wrong"):
        second_factor.confirm(clinic, doctor, with_passwords)
