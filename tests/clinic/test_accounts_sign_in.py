"""Signing in and out, sessions and their ends, CSRF, the second factor."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic import clock
from cytolens.clinic.accounts import passwords, second_factor, sessions
from cytolens.clinic.actor import Actor
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import users
from cytolens.clinic.tables import Entry, SignIn, User
from cytolens.clinic.web.app import create_app
from cytolens.clinic.web.guard import CSRF_HEADER

Browser = Callable[[str | None], TestClient]
PassTime = Callable[..., None]
WRONG = "The user name or the password is wrong."


def _sign_in(client: TestClient, username: str, password: str, **more: str) -> tuple[int, str]:
    response = client.post("/sign-in", data={"username": username, "password": password, **more})
    return response.status_code, response.headers.get("location", "") or response.text


def _entries(clinic: Installation, action: str) -> list[Entry]:
    with clinic.reading() as db:
        return list(db.scalars(select(Entry).where(Entry.action == action).order_by(Entry.id)))


def test_the_right_password_opens_a_session(
    clinic: Installation, browser: Browser, with_passwords: str
) -> None:
    client = browser(None)
    assert client.get("/account").headers["location"] == "/sign-in?next=/account"
    assert _sign_in(client, " Doctor ", with_passwords, next="/account") == (303, "/account")
    assert client.get("/account").status_code == 200
    assert client.get("/sign-in").headers["location"] == "/"
    [entry] = _entries(clinic, "user.signed_in")
    assert (entry.username, entry.role) == ("doctor", "doctor")


def test_the_cookie_is_not_for_scripts_nor_other_sites(
    browser: Browser, with_passwords: str
) -> None:
    response = browser(None).post(
        "/sign-in", data={"username": "doctor", "password": with_passwords}
    )
    cookie, _ = response.headers.get_list("set-cookie")
    name, _, rest = cookie.partition("=")
    assert name == sessions.COOKIE
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(rest.split("; "))
    assert "Secure" not in rest and "Max-Age" not in rest and "expires" not in rest


def test_over_https_the_cookie_is_bound_to_host_and_https(
    clinic: Installation, people: People, with_passwords: str
) -> None:
    del people
    clinic.settings = replace(clinic.settings, public_url="https://clinic.example.org")
    client = TestClient(
        create_app(clinic), base_url="https://clinic.example.org", follow_redirects=False
    )
    response = client.post("/sign-in", data={"username": "doctor", "password": with_passwords})
    cookie, device = response.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-cytolens_session=")
    assert device.startswith("__Host-cytolens_device=")
    for one in (cookie, device):
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=strict"} <= set(one.split("; "))
        assert "Domain" not in one
    assert client.get("/account").status_code == 200


@pytest.fixture
def all_kinds(clinic: Installation, people: People, with_passwords: str) -> None:
    """Accounts that may not sign in, each for its reason."""
    del with_passwords
    with clinic.writing() as db:
        db.get_one(User, people.users["director"]).active = False
        db.get_one(User, people.users["doctor_two"]).password_hash = None
        locked = db.get_one(User, people.users["second_doctor"])
        locked.locked_until = clock.now().replace(year=clock.now().year + 1)


@pytest.mark.usefixtures("all_kinds")
def test_the_answer_is_the_same_whatever_is_wrong(browser: Browser, with_passwords: str) -> None:
    answers = set()
    for username, password in (
        ("doctor", "wrong"),
        ("nobody.here", "wrong"),
        ("director", with_passwords),
        ("doctor_two", with_passwords),
        ("second_doctor", with_passwords),
        ("second_doctor", "wrong"),
        ("", ""),
        ("\x00", with_passwords),
        ("<script>alert(1)</script>", "x"),
        ("a" * 5000, "b" * 5000),
    ):
        response = browser(None).post("/sign-in", data={"username": username, "password": password})
        assert "set-cookie" not in response.headers and "<script>alert" not in response.text
        answers.add(
            (response.status_code, re.sub(r'value="[^"]*"|autofocus\S*', "", response.text))
        )
    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1, "user names can be told apart"
    assert WRONG in next(iter(answers))[1]


@pytest.mark.usefixtures("all_kinds")
def test_the_same_work_is_done_whatever_is_wrong(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    known = passwords.matches

    def watched(password: str, stored: str | None) -> bool:
        verified.append(password)
        return known(password, stored)

    monkeypatch.setattr(passwords, "matches", watched)
    for username in ("doctor", "nobody.here", "director", "doctor_two", "second_doctor"):
        _sign_in(browser(None), username, username)
    assert len(verified) == 5


def test_refused_sign_ins_are_in_the_log_without_what_was_typed(
    clinic: Installation, people: People, browser: Browser, with_passwords: str
) -> None:
    _sign_in(browser(None), with_passwords, "into the wrong field")
    _sign_in(browser(None), "doctor", "wrong")
    unknown, known = _entries(clinic, "user.refused")
    assert (unknown.username, unknown.key, unknown.details) == (
        "nobody", "unknown", {"wrong": "user name"},
    )  # fmt: skip
    assert (known.key, known.user_id) == (str(people.users["doctor"]), None)
    assert with_passwords not in str(unknown.details)


def test_too_many_failures_lock_and_time_opens(
    clinic: Installation, browser: Browser, with_passwords: str, pass_time: PassTime
) -> None:
    client = browser(None)
    for _ in range(clinic.settings.login_tries):
        assert _sign_in(client, "doctor", "wrong")[0] == 401
    assert _sign_in(client, "doctor", with_passwords)[0] == 401
    assert _sign_in(client, "director", with_passwords)[0] == 303
    assert len(_entries(clinic, "user.locked")) == 1
    pass_time(minutes=clinic.settings.lock_minutes)
    assert _sign_in(client, "doctor", with_passwords)[0] == 303


def test_a_hash_of_older_parameters_is_made_anew(
    clinic: Installation, people: People, browser: Browser, with_passwords: str
) -> None:
    older = passwords.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    with clinic.writing() as db:
        user = db.get_one(User, people.users["doctor"])
        user.password_hash = older.hash(with_passwords)
    assert _sign_in(browser(None), "doctor", with_passwords)[0] == 303
    with clinic.reading() as db:
        stored = db.get_one(User, people.users["doctor"]).password_hash
    assert stored is not None and "m=8,t=1" in stored


def test_no_session_is_taken_over_at_the_sign_in(
    clinic: Installation, browser: Browser, with_passwords: str
) -> None:
    client = browser("director")
    planted = client.cookies[sessions.COOKIE]
    response = client.post("/sign-in", data={"username": "doctor", "password": with_passwords})
    assert planted not in response.headers["set-cookie"]
    thief = browser(None)
    thief.cookies.set(sessions.COOKIE, planted)
    assert thief.get("/account").status_code == 303  # the planted one has ended
    with clinic.reading() as db:
        [row] = db.scalars(select(SignIn))
    assert row.token_hash != planted and len(row.token_hash) == 64


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example",
        "javascript:alert(1)", "/\t/evil.example", "evil", "", "/sign-out", "/" + "a" * 600,
        "/x y", "/\x7f", "http:/evil.example",
    ],
)  # fmt: skip
def test_the_way_on_stays_in_the_clinic(
    browser: Browser, with_passwords: str, address: str
) -> None:
    assert _sign_in(browser(None), "doctor", with_passwords, next=address) == (303, "/")
    assert 'name="next" value="/"' in browser(None).get(
        "/sign-in", params={"next": address}
    ).text  # fmt: skip


def test_what_was_asked_for_is_found_again(browser: Browser, with_passwords: str) -> None:
    client = browser(None)
    asked = client.get("/users?search=a%20b&page=2").headers["location"]
    assert asked == "/sign-in?next=/users%3Fsearch%3Da%2520b%26page%3D2"
    shown = re.search(r'name="next" value="([^"]*)"', client.get(asked).text)
    assert shown is not None
    way = shown[1].replace("&amp;", "&")
    assert _sign_in(client, "administrator", with_passwords, next=way) == (
        303, "/users?search=a%20b&page=2",
    )  # fmt: skip


def test_a_link_on_another_site_is_asked_for_once_more(browser: Browser) -> None:
    """The strict cookie was kept back; our own page's request brings it."""
    response = browser(None).get("/account", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 401
    assert '<meta http-equiv="refresh" content="0; url=/account">' in response.text


def test_a_session_ends_without_use_and_at_all(
    clinic: Installation, browser: Browser, pass_time: PassTime
) -> None:
    client = browser("doctor")
    minutes = clinic.settings.idle_minutes
    pass_time(minutes=minutes - 1)
    assert client.get("/account").status_code == 200  # and is used again from here
    pass_time(minutes=minutes - 1)
    assert client.get("/account").status_code == 200
    pass_time(minutes=minutes)
    assert client.get("/account").status_code == 303
    client = browser("doctor")
    for _ in range(clinic.settings.session_hours * 60 // 25):
        assert client.get("/account").status_code == 200
        pass_time(minutes=25)
    pass_time(minutes=20)
    assert client.get("/account").status_code == 303


def test_a_session_ends_with_the_account(
    clinic: Installation, people: People, browser: Browser
) -> None:
    client = browser("doctor")
    with clinic.writing() as db:
        users.disable(db, people.actors["administrator"], people.users["doctor"])
    assert client.get("/account").status_code == 303
    with clinic.writing() as db:
        users.enable(db, people.actors["administrator"], people.users["doctor"])
    assert client.get("/account").status_code == 303


def test_signing_out_ends_the_session_on_the_server(clinic: Installation, browser: Browser) -> None:
    client = browser("doctor")
    kept = client.cookies[sessions.COOKIE]
    response = client.post("/sign-out")
    assert response.headers["location"] == "/sign-in?done=signed-out"
    assert response.headers["clear-site-data"] == '"cache"'
    client.cookies.set(sessions.COOKIE, kept)
    assert client.get("/account").status_code == 303
    assert len(_entries(clinic, "user.signed_out")) == 1
    assert browser(None).post("/sign-out").status_code == 303


@pytest.mark.parametrize("given", [None, "", "wrong", "\u00e9"])
@pytest.mark.parametrize("path", ["/account/language", "/sign-out", "/account/sessions/end"])
def test_a_form_of_another_session_does_nothing(
    browser: Browser, path: str, given: str | None
) -> None:
    client = browser("doctor")
    del client.headers[CSRF_HEADER]
    sent = {"language": "es"} | ({} if given is None else {"csrf": given})
    response = client.post(path, data=sent)
    assert response.status_code == 403
    assert "not made for your session" in response.text
    assert client.get("/account").status_code == 200


def test_a_form_with_its_field_needs_no_script(browser: Browser) -> None:
    client = browser("doctor")
    token = client.headers.pop(CSRF_HEADER)
    assert f'name="csrf" value="{token}"' in client.get("/account").text
    response = client.post("/account/language", data={"language": "es", "csrf": token})
    assert response.headers["location"] == "/account?done=language"
    assert '<html lang="es">' in client.get("/account").text
    assert (
        client.post("/account/language", data={"language": "xx", "csrf": token}).status_code == 422
    )


def test_sessions_are_listed_and_ended_by_their_owner_alone(
    clinic: Installation, people: People, browser: Browser
) -> None:
    here, there, other = browser("doctor"), browser("doctor"), browser("director")
    with clinic.reading() as db:
        rows = sessions.list_sessions(db, people.actors["doctor"], clinic.settings)
        [foreign] = sessions.list_sessions(db, people.actors["director"], clinic.settings)
    assert len(rows) == 2
    assert here.post(f"/account/sessions/{foreign.id}/end").status_code == 404
    assert other.get("/account").status_code == 200
    assert here.post(f"/account/sessions/{max(r.id for r in rows)}/end").status_code == 303
    assert there.get("/account").status_code == 303
    again = browser("doctor")
    assert here.post("/account/sessions/end").status_code == 303
    assert (again.get("/account").status_code, here.get("/account").status_code) == (303, 200)
    assert here.post("/account/sessions/99999999999999999999/end").status_code == 422


# --- the second factor


@pytest.fixture
def telephone(
    clinic: Installation, people: People, with_passwords: str
) -> tuple[pyotp.TOTP, list[str]]:
    """The doctor's authenticator and recovery codes."""
    doctor = people.actors["doctor"]
    offer = second_factor.offer(clinic, doctor)
    totp = pyotp.TOTP(offer.words.replace(" ", ""))
    codes = second_factor.set_up(clinic, doctor, offer.sealed, totp.at(clock.now()), with_passwords)
    return totp, codes


def _half_way(browser: Browser, password: str) -> tuple[TestClient, str]:
    """Return a browser whose password was right, and its CSRF token."""
    client = browser(None)
    assert _sign_in(client, "doctor", password, next="/account") == (
        303, "/second-factor?next=/account",
    )  # fmt: skip
    shown = client.get("/second-factor?next=/account")
    found = re.search(r'name="csrf" value="([^"]+)"', shown.text)
    assert found is not None
    return client, found[1]


def test_the_password_alone_opens_nothing(
    browser: Browser, telephone: tuple[pyotp.TOTP, list[str]], with_passwords: str
) -> None:
    del telephone
    client, csrf = _half_way(browser, with_passwords)
    assert client.get("/account").status_code == 303
    assert client.get("/sign-in").headers["location"] == "/second-factor"
    assert (
        client.post("/account/language", data={"csrf": csrf, "language": "es"}).status_code == 401
    )


def test_a_code_opens_a_fresh_session_once(
    clinic: Installation,
    browser: Browser,
    telephone: tuple[pyotp.TOTP, list[str]],
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    pass_time(seconds=60)
    totp = telephone[0]
    client, csrf = _half_way(browser, with_passwords)
    waiting = client.cookies[sessions.COOKIE]
    code = totp.at(clock.now())
    sent = {"code": f"{code[:3]} {code[3:]}", "csrf": csrf, "next": "/account"}
    assert client.post("/second-factor", data=sent | {"csrf": "wrong"}).status_code == 403
    assert client.post("/second-factor", data=sent).headers["location"] == "/account"
    assert client.cookies[sessions.COOKIE] != waiting
    assert client.get("/account").status_code == 200
    assert len(_entries(clinic, "user.signed_in")) == 1
    other, csrf = _half_way(browser, with_passwords)
    response = other.post("/second-factor", data=sent | {"csrf": csrf})
    assert response.status_code == 401 and "was used" in response.text


@pytest.mark.parametrize(
    "off, right", [(-30, True), (0, True), (30, True), (-90, False), (90, False)]
)
def test_a_clock_may_be_off_by_half_a_minute(
    clinic: Installation,
    people: People,
    telephone: tuple[pyotp.TOTP, list[str]],
    pass_time: PassTime,
    off: int,
    right: bool,
) -> None:
    pass_time(minutes=10)
    code = telephone[0].at(int(clock.now().timestamp()) + off)
    with clinic.writing() as db:
        user = db.get_one(User, people.users["doctor"])
        assert second_factor.take(db, user, code, clinic.secret) == right


def test_wrong_codes_lock_like_wrong_passwords(
    clinic: Installation,
    browser: Browser,
    telephone: tuple[pyotp.TOTP, list[str]],
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    pass_time(seconds=60)
    for _ in range(clinic.settings.login_tries):  # the right password between does not forgive
        client, csrf = _half_way(browser, with_passwords)
        assert client.post("/second-factor", data={"code": "abc", "csrf": csrf}).status_code == 401
    code = telephone[0].at(clock.now())
    response = client.post("/second-factor", data={"code": code, "csrf": csrf})
    assert response.status_code == 401
    assert _sign_in(browser(None), "doctor", with_passwords)[0] == 401


def test_the_time_for_a_code_is_short(
    browser: Browser,
    telephone: tuple[pyotp.TOTP, list[str]],
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    client, csrf = _half_way(browser, with_passwords)
    pass_time(minutes=10)
    code = telephone[0].at(clock.now())
    response = client.post("/second-factor", data={"code": code, "csrf": csrf})
    assert response.status_code == 401 and "is over" in response.text
    assert client.get("/second-factor").headers["location"] == "/sign-in"


def test_a_recovery_code_works_once_and_for_its_account_alone(
    clinic: Installation,
    people: People,
    browser: Browser,
    telephone: tuple[pyotp.TOTP, list[str]],
    with_passwords: str,
) -> None:
    codes = telephone[1]
    assert len(set(codes)) == second_factor.RECOVERY
    client, csrf = _half_way(browser, with_passwords)
    sent = {"code": codes[0].lower(), "csrf": csrf}
    assert client.post("/second-factor", data=sent).status_code == 303
    assert "left: 9" in client.get("/account").text
    other, csrf = _half_way(browser, with_passwords)
    assert other.post("/second-factor", data=sent | {"csrf": csrf}).status_code == 401
    with clinic.writing() as db:
        director = db.get_one(User, people.users["director"])
        assert not second_factor.take(db, director, codes[1], clinic.secret)


def test_the_secret_is_encrypted_and_bound_to_its_account(
    clinic: Installation, people: People, telephone: tuple[pyotp.TOTP, list[str]]
) -> None:
    totp, codes = telephone
    with clinic.writing() as db:
        doctor = db.get_one(User, people.users["doctor"])
        assert doctor.totp_secret is not None and totp.secret not in doctor.totp_secret
        director = db.get_one(User, people.users["director"])
        director.totp_secret = doctor.totp_secret  # moved over in the database
        with pytest.raises(Refused, match="another account"):
            second_factor.take(db, director, totp.at(clock.now()), clinic.secret)
        stored = db.scalars(select(second_factor.RecoveryCode.code_hash)).all()
    assert not {code.replace("-", "") for code in codes} & set(stored)


def test_a_second_factor_is_set_up_in_the_browser(browser: Browser, with_passwords: str) -> None:
    client = browser("doctor")
    shown = client.get("/account/second-factor").text
    assert '<img src="data:image/svg+xml' in shown
    sealed = re.search(r'name="sealed" value="([^"]+)"', shown)
    words = re.search(r'<p class="mono">([A-Z2-7 ]+)</p>', shown)
    assert sealed is not None and words is not None
    totp = pyotp.TOTP(words[1].replace(" ", ""))
    sent = {"sealed": sealed[1], "code": totp.now(), "password": with_passwords}
    wrong = client.post("/account/second-factor", data=sent | {"code": "12345"})
    assert wrong.status_code == 422 and words[1] in wrong.text
    wrong = client.post("/account/second-factor", data=sent | {"password": "wrong"})
    assert wrong.status_code == 403
    forged = client.post("/account/second-factor", data=sent | {"sealed": "Zm9yZ2Vk"})
    assert forged.status_code == 422 and "too old" in forged.text
    foreign = browser("director").post("/account/second-factor", data=sent)
    assert foreign.status_code == 422 and "another account" in foreign.text
    done = client.post("/account/second-factor", data=sent)
    assert done.status_code == 200
    assert len(re.findall(r'<li class="mono">[A-Z2-9-]{19}</li>', done.text)) == 10
    assert client.post("/account/second-factor/off", data={"password": "no"}).status_code == 403
    code = re.search(r'<li class="mono">([A-Z2-9-]{19})</li>', done.text)
    assert code is not None
    sent = {"password": with_passwords, "code": code[1]}
    off = client.post("/account/second-factor/off", data=sent)
    assert off.headers["location"] == "/account?done=no-second-factor"
    assert _sign_in(browser(None), "doctor", with_passwords) == (303, "/")


def test_a_code_may_be_asked_for_again_before_a_signature(
    clinic: Installation,
    in_session: Callable[[str], Actor],
    telephone: tuple[pyotp.TOTP, list[str]],
    with_passwords: str,
    pass_time: PassTime,
) -> None:
    pass_time(seconds=60)
    code, doctor = telephone[0].at(clock.now()), in_session("doctor")
    second_factor.confirm(clinic, doctor, with_passwords, code)
    second_factor.confirm(clinic, in_session("director"), with_passwords, "")  # has none
    with pytest.raises(NotAllowed, match="was used"):
        second_factor.confirm(clinic, doctor, with_passwords, code)
    with clinic.reading() as db:
        assert db.get_one(SignIn, doctor.session).failures == 1
