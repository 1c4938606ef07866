"""Browsers that an account signed in from before: who else tries passwords locks them not out."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic import clock
from cytolens.clinic.accounts import devices, second_factor
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import users
from cytolens.clinic.secret import Secret
from cytolens.clinic.tables import Device, Entry, User
from cytolens.clinic.web.limits import Limits, Rate

Browser = Callable[[str | None], TestClient]
PassTime = Callable[..., None]


def _sign_in(client: TestClient, username: str, password: str) -> int:
    return client.post("/sign-in", data={"username": username, "password": password}).status_code


@pytest.fixture
def own(browser: Browser, with_passwords: str) -> TestClient:
    """The doctor's browser: signed in to before, signed out now."""
    client = browser(None)
    assert _sign_in(client, "doctor", with_passwords) == 303
    client.cookies.delete("cytolens_session")
    return client


def _guess(clinic: Installation, client: TestClient, username: str = "doctor") -> None:
    for _ in range(clinic.settings.login_tries):
        assert _sign_in(client, username, "wrong") == 401


def _user(clinic: Installation, people: People, name: str = "doctor") -> User:
    with clinic.reading() as db:
        return db.get_one(User, people.users[name])


def test_who_knows_the_user_name_locks_out_strange_browsers_alone(
    clinic: Installation, people: People, browser: Browser, own: TestClient, with_passwords: str
) -> None:
    _guess(clinic, browser(None))
    assert _sign_in(browser(None), "doctor", with_passwords) == 401
    assert _sign_in(own, "doctor", with_passwords) == 303
    user = _user(clinic, people)
    assert user.failures == 5 and user.locked_until is not None  # its sign-in forgave nobody else
    assert _sign_in(browser(None), "doctor", with_passwords) == 401
    with clinic.reading() as db:
        locked = db.scalars(select(Entry).where(Entry.action == "user.locked")).one()
    assert locked.details == {"minutes": 15, "browser": "new"}


def test_a_known_browser_counts_for_itself_alone(
    clinic: Installation,
    people: People,
    browser: Browser,
    own: TestClient,
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    other = browser(None)
    assert _sign_in(other, "doctor", with_passwords) == 303
    _guess(clinic, own)
    assert _sign_in(own, "doctor", with_passwords) == 401
    assert _sign_in(other, "doctor", with_passwords) == 303
    assert _sign_in(browser(None), "doctor", with_passwords) == 303
    assert _user(clinic, people).failures == 0
    with clinic.reading() as db:
        row = db.scalars(select(Device)).one()
        assert (row.user_id, row.failures) == (people.users["doctor"], 5)
        refused = db.scalars(select(Entry).where(Entry.action == "user.refused")).all()
    assert {entry.details.get("browser") for entry in refused} == {"known", None}  # None: locked
    pass_time(minutes=clinic.settings.lock_minutes)
    assert _sign_in(own, "doctor", with_passwords) == 303
    assert _sign_in(own, "doctor", "wrong") == 401
    with clinic.reading() as db:
        assert db.scalars(select(Device.failures)).one() == 1  # the sign-in had forgiven


def test_a_known_browser_is_rated_apart(
    browser: Browser, own: TestClient, with_passwords: str
) -> None:
    rates = {
        "address": Rate(1000, 1),
        "sign-in address": Rate(1000, 1),
        "sign-in name": Rate(3, 1e-6),
    }
    stranger = browser(None)
    stranger.app.state.limits = Limits(rates)  # type: ignore[attr-defined]
    for expected in (401, 401, 401, 429):
        assert _sign_in(stranger, "doctor", "wrong") == expected
    assert _sign_in(browser(None), "doctor", with_passwords) == 429
    assert _sign_in(own, "doctor", with_passwords) == 303


def test_a_shared_computer_is_known_to_all_who_use_it(
    clinic: Installation, browser: Browser, own: TestClient, with_passwords: str
) -> None:
    assert _sign_in(own, "director", with_passwords) == 303
    own.cookies.delete("cytolens_session")
    for name in ("doctor", "director", "second_doctor"):
        _guess(clinic, browser(None), name)
    statuses = [_sign_in(own, n, with_passwords) for n in ("doctor", "director", "second_doctor")]
    assert statuses == [303, 303, 401]


def test_the_cookie_says_nothing_and_cannot_be_made(
    clinic: Installation, people: People, own: TestClient, with_passwords: str, browser: Browser
) -> None:
    cookie = own.cookies["cytolens_device"]
    assert "doctor" not in cookie
    doctor, director = _user(clinic, people), _user(clinic, people, "director")
    assert devices.number(clinic.secret, cookie, doctor) != ""
    assert devices.number(clinic.secret, cookie, director) == ""  # of its account alone
    other = devices.remember(Secret("another secret of another place"), "", doctor)
    for forged in ("", "x", "é", "A" * 5000, cookie[:-4] + "AAAA", other):
        assert devices.number(clinic.secret, forged, doctor) == ""
    _guess(clinic, browser(None))
    thief = browser(None)
    thief.cookies.set("cytolens_device", other)
    assert _sign_in(thief, "doctor", with_passwords) == 401


def test_the_cookie_opens_nothing(own: TestClient) -> None:
    assert own.get("/account").status_code == 303
    assert _sign_in(own, "doctor", "") == 401


def test_a_browser_is_known_for_half_a_year_and_for_sixteen_accounts(
    clinic: Installation, people: People, pass_time: PassTime
) -> None:
    doctor = _user(clinic, people)
    cookie = devices.remember(clinic.secret, "", doctor)
    first = devices.number(clinic.secret, cookie, doctor)
    assert (
        devices.number(clinic.secret, devices.remember(clinic.secret, cookie, doctor), doctor)
        == first
    )
    for number in range(100, 116):
        if number == 115:
            assert devices.number(clinic.secret, cookie, doctor) == first
        cookie = devices.remember(clinic.secret, cookie, User(id=number, device_key="k"))
    assert devices.number(clinic.secret, cookie, doctor) == ""
    assert len(cookie) < 2000
    last = User(id=115, device_key="k")
    pass_time(days=179)
    assert devices.number(clinic.secret, cookie, last) != ""
    pass_time(days=2)
    assert devices.number(clinic.secret, cookie, last) == ""


def _reset(clinic: Installation, people: People, own: TestClient, password: str) -> None:
    del own, password
    with clinic.writing() as db:
        users.reset(db, people.actors["administrator"], people.users["doctor"])


def _disable_and_enable(
    clinic: Installation, people: People, own: TestClient, password: str
) -> None:
    del own, password
    with clinic.writing() as db:
        users.disable(db, people.actors["administrator"], people.users["doctor"])
        users.enable(db, people.actors["administrator"], people.users["doctor"])


@pytest.mark.parametrize("end", [_reset, _disable_and_enable])
def test_browsers_are_forgotten_with_the_password(
    clinic: Installation,
    people: People,
    own: TestClient,
    with_passwords: str,
    end: Callable[[Installation, People, TestClient, str], None],
) -> None:
    cookie = own.cookies["cytolens_device"]
    _guess(clinic, own)
    end(clinic, people, own, with_passwords)
    assert devices.number(clinic.secret, cookie, _user(clinic, people)) == ""
    with clinic.reading() as db:
        assert db.scalars(select(Device)).all() == []


def test_who_changes_the_password_keeps_this_browser_alone(
    clinic: Installation, people: People, browser: Browser, own: TestClient, with_passwords: str
) -> None:
    here, new = browser(None), "mango turbina 44 lluvia"
    assert _sign_in(here, "doctor", with_passwords) == 303
    csrf = re.search(r'name="csrf" value="([^"]+)"', here.get("/account").text)
    assert csrf is not None
    sent = {"old": with_passwords, "new": new, "again": new, "csrf": csrf[1]}
    assert here.post("/account/password", data=sent).status_code == 303
    _guess(clinic, browser(None))
    assert _sign_in(own, "doctor", new) == 401
    here.cookies.delete("cytolens_session")
    assert _sign_in(here, "doctor", new) == 303
    assert _user(clinic, people).locked_until is not None


def test_the_password_alone_makes_no_browser_known(
    clinic: Installation,
    people: People,
    browser: Browser,
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    doctor = people.actors["doctor"]
    offer = second_factor.offer(clinic, doctor)
    totp = pyotp.TOTP(offer.words.replace(" ", ""))
    second_factor.set_up(clinic, doctor, offer.sealed, totp.at(clock.now()), with_passwords)
    pass_time(minutes=2)
    client = browser(None)

    def half_way() -> str:
        assert _sign_in(client, "doctor", with_passwords) == 303
        found = re.search(r'name="csrf" value="([^"]+)"', client.get("/second-factor").text)
        assert found is not None
        return found[1]

    csrf = half_way()
    assert "cytolens_device" not in client.cookies
    sent = {"code": totp.at(clock.now()), "csrf": csrf}
    assert client.post("/second-factor", data=sent).status_code == 303
    assert "cytolens_device" in client.cookies
    client.cookies.delete("cytolens_session")
    csrf = half_way()
    for _ in range(clinic.settings.login_tries):  # wrong codes count for the browser too
        client.post("/second-factor", data={"code": "abc", "csrf": csrf})
    assert _user(clinic, people).failures == 0
    assert _sign_in(client, "doctor", with_passwords) == 401
    assert _sign_in(browser(None), "doctor", with_passwords) == 303
