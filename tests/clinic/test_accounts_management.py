"""Accounts and sites as the administrator manages them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.accounts.sessions import actor_of
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import directory, sites, users
from cytolens.clinic.tables import Entry, User

Browser = Callable[[str | None], TestClient]


def _actions(clinic: Installation) -> list[str]:
    with clinic.reading() as db:
        return list(db.scalars(select(Entry.action).order_by(Entry.id)))


def test_an_administrator_invites_in_the_browser(
    clinic: Installation, people: People, browser: Browser
) -> None:
    client = browser("administrator")
    sent = {
        "username": "Eva.Ruiz", "name": "<script>alert(1)</script>", "role": "doctor",
        "sites": [people.sites["one"], people.sites["two"]], "language": "es",
    }  # fmt: skip
    made = client.post("/users", data=sent)
    assert made.status_code == 200
    link = re.search(re.escape(clinic.settings.url) + r"/welcome/([\w-]{43})<", made.text)
    assert link is not None
    assert browser(None).get(f"/welcome/{link[1]}").status_code == 200
    taken = client.post("/users", data=sent)
    assert taken.status_code == 409 and "is taken" in taken.text
    listed = client.get("/users")
    for text in (made.text, taken.text, listed.text):
        assert "<script>alert" not in text and "&lt;script&gt;alert" in text
    assert _actions(clinic) == ["user.made", "user.invited"]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"username": "ab"}, "user name cannot be used"),
        ({"username": "a" * 121}, "user name cannot be used"),
        ({"username": "eva ruiz"}, "user name cannot be used"),
        ({"username": "<b>eva</b>"}, "user name cannot be used"),
        ({"username": "évа"}, "user name cannot be used"),
        ({"username": "~first"}, "user name cannot be used"),
        ({"username": "eva\x00ruiz"}, "user name cannot be used"),
        ({"username": "SYSTEM"}, "means something"),
        ({"name": "  "}, "name is empty"),
        ({"name": "x" * 201}, "201 characters"),
        ({"name": "Eva\u202eRuiz"}, "not shown"),
        ({"role": "boss"}, "no such role"),
        ({"sites": []}, "without a site"),
        ({"sites": ["99"]}, "no such site"),
        ({"language": "de"}, "not offered"),
    ],
)
def test_a_bad_invitation_makes_nothing(
    clinic: Installation, browser: Browser, wrong: dict[str, object], said: str
) -> None:
    sent = {"username": "eva.ruiz", "name": "Eva Ruiz", "role": "doctor", "sites": ["1"]} | wrong
    response = browser("administrator").post("/users", data=sent)
    assert (response.status_code, said in response.text) == (422, True), response.text
    assert _actions(clinic) == []


def test_accounts_are_searched_and_paged(clinic: Installation, people: People) -> None:
    with clinic.writing() as db:
        for number in range(directory.PAGE):
            made = User(
                username=f"reader.{number:03}", name=f"Reader {number:03}", role="doctor",
                created_at=clock.now(),
            )  # fmt: skip
            db.add(made)
        db.flush()
        made.active = False
    administrator = people.actors["administrator"]
    with clinic.reading() as db:

        def found(search: str, page: int = 1) -> list[str]:
            return [u.username for u in directory.list_users(db, administrator, search, page).users]

        assert found("DOCTOR") == ["doctor", "doctor_two", "second_doctor"]
        assert found("r_t") == ["doctor_two"] and found("%") == found("\\") == []
        assert found("Reader 00") == [f"reader.00{number}" for number in range(10)]
        assert found(" reader.007 ") == found("reader.007\x00") == ["reader.007"]
        everybody = directory.list_users(db, administrator)
        assert (everybody.total, everybody.pages, len(everybody.users)) == (55, 2, directory.PAGE)
        assert [u.active for u in directory.list_users(db, administrator, page=99).users] == [
            True, True, True, True, False,
        ]  # fmt: skip


def test_role_and_sites_hold_from_the_next_request_on(
    clinic: Installation, people: People, browser: Browser
) -> None:
    client, theirs = browser("administrator"), browser("doctor")
    assert theirs.get("/users").status_code == 403
    user_id = people.users["doctor"]
    sent = {"name": "Doctor", "role": "administrator", "sites": [people.sites["two"]]}
    assert client.post(f"/users/{user_id}", data=sent).headers["location"].endswith("?done=saved")
    assert theirs.get("/users").status_code == 200
    assert _actions(clinic) == ["user.assigned"]
    client.post(f"/users/{user_id}", data=sent)  # the same again is no change
    assert _actions(clinic) == ["user.assigned"]
    shown = client.get(f"/users/{user_id}").text
    assert re.search(r'value="administrator" required checked', shown)


def test_a_closed_site_stays_with_its_accounts(clinic: Installation, people: People) -> None:
    administrator, director = people.actors["administrator"], people.users["director"]
    with clinic.writing() as db:
        sites.close(db, administrator, people.sites["one"])
        users.assign(db, administrator, director, "director", [people.sites["two"]])
        with pytest.raises(Refused, match="closed"):
            users.assign(db, administrator, director, "director", [people.sites["one"]])
    with clinic.reading() as db:
        assert {site.id for site in db.get_one(User, director).sites} == set(people.sites.values())


def test_nobody_shuts_the_own_account_out(clinic: Installation, people: People) -> None:
    administrator = people.actors["administrator"]
    assert administrator.user is not None
    for refused in (
        lambda db: users.disable(db, administrator, administrator.user),
        lambda db: users.reset(db, administrator, administrator.user),
        lambda db: users.remove_second_factor(db, administrator, administrator.user),
        lambda db: users.assign(db, administrator, administrator.user, "doctor", [1]),
    ):
        with pytest.raises(Conflict, match="own account"), clinic.writing() as db:
            refused(db)
    with clinic.writing() as db:  # its sites, yes
        users.assign(db, administrator, administrator.user, "administrator", [])
    with clinic.reading() as db:
        assert db.get_one(User, administrator.user).active


@pytest.mark.parametrize("how", ["disable", "demote"])
def test_the_last_administrator_stays(
    clinic: Installation, people: People, with_passwords: str, how: str
) -> None:
    del with_passwords
    first, second = people.users["administrator"], people.users["doctor"]
    administrator = people.actors["administrator"]
    with clinic.writing() as db:
        users.assign(db, administrator, second, "administrator", [])
        db.get_one(User, first).password_hash = None  # was reset: cannot sign in
    with clinic.reading() as db:
        other = actor_of(db.get_one(User, people.users["administrator"]), "")
    with pytest.raises(Conflict, match="last administrator"), clinic.writing() as db:
        if how == "disable":
            users.disable(db, other, second)
        else:
            users.assign(db, other, second, "doctor", [people.sites["one"]])


def test_disabled_and_reset_accounts_do_not_sign_in(
    people: People, browser: Browser, with_passwords: str
) -> None:
    client = browser("administrator")
    sent = {"username": "doctor", "password": with_passwords}
    user_id = people.users["doctor"]
    for done, status in (("disable", 401), ("enable", 303)):
        assert client.post(f"/users/{user_id}/{done}").status_code == 303
        assert browser(None).post("/sign-in", data=sent).status_code == status
    theirs = browser("doctor")
    link = client.post(f"/users/{user_id}/reset")
    assert link.status_code == 200 and "/welcome/" in link.text
    assert theirs.get("/account").status_code == 303
    assert browser(None).post("/sign-in", data=sent).status_code == 401
    assert client.post(f"/users/{user_id}/disable").status_code == 303
    refused = client.post(f"/users/{user_id}/reset")
    assert refused.status_code == 409 and "enable it first" in refused.text
    way = re.search(r"/welcome/[\w-]+", link.text)
    assert way is not None and browser(None).get(way[0]).status_code == 404


def test_only_administrators_manage(clinic: Installation, people: People) -> None:
    doctor, administrator = people.actors["doctor"], people.users["administrator"]
    for refused in (
        lambda db: users.invite(db, doctor, "eva.ruiz", "Eva", "doctor", [1]),
        lambda db: users.rename(db, doctor, administrator, "x"),
        lambda db: users.assign(db, doctor, administrator, "doctor", [1]),
        lambda db: users.disable(db, doctor, administrator),
        lambda db: users.enable(db, doctor, administrator),
        lambda db: users.reset(db, doctor, administrator),
        lambda db: users.remove_second_factor(db, doctor, administrator),
        lambda db: directory.list_users(db, doctor),
        lambda db: directory.find(db, doctor, administrator),
        lambda db: sites.list_sites(db, doctor),
        lambda db: sites.choices(db, doctor),
        lambda db: sites.find(db, doctor, 1),
        lambda db: sites.open_site(db, doctor, "X", "X"),
        lambda db: sites.rename(db, doctor, 1, "X"),
        lambda db: sites.close(db, doctor, 1),
        lambda db: sites.reopen(db, doctor, 1),
    ):
        with pytest.raises(NotAllowed), clinic.writing() as db:
            refused(db)


def test_what_is_not_there_is_not_found(browser: Browser) -> None:
    client = browser("administrator")
    for path in ("/users/99", "/sites/99"):
        assert client.get(path).status_code == 404
    for path in ("/users/99/disable", "/users/99/reset", "/sites/99/close", "/sites/99/reopen"):
        assert client.post(path).status_code == 404
    for number in ("0", "-1", "2147483648", "9" * 30, "x"):
        assert client.get(f"/users/{number}").status_code == 422
        assert client.get(f"/sites/{number}").status_code == 422


def test_a_site_is_opened_renamed_closed_and_opened_again(
    clinic: Installation, people: People, browser: Browser
) -> None:
    client, doctor = browser("administrator"), people.actors["administrator"]
    made = client.post("/sites", data={"code": " lab-3 ", "name": "Third <b>laboratory</b>"})
    assert made.status_code == 303
    with clinic.reading() as db:
        [site] = [s for s in sites.list_sites(db, doctor) if s.code == "LAB-3"]
    shown = client.get("/sites").text
    assert "&lt;b&gt;laboratory" in shown and "<b>laboratory" not in shown
    assert client.post(f"/sites/{site.id}", data={"name": "Third"}).status_code == 303
    for way in ("close", "close", "reopen", "reopen"):
        assert client.post(f"/sites/{site.id}/{way}").status_code == 303
    assert _actions(clinic) == ["site.opened", "site.renamed", "site.closed", "site.reopened"]


@pytest.mark.parametrize(
    "code, name, status",
    [("", "x", 422), ("TOO-LONG-A-CODE-17", "x", 422), ("A B", "x", 422), ("É", "x", 422),
     ("NEW", " ", 422), ("one", "x", 409)],
)  # fmt: skip
def test_a_bad_site_is_not_opened(browser: Browser, code: str, name: str, status: int) -> None:
    response = browser("administrator").post("/sites", data={"code": code, "name": name})
    assert response.status_code == status


def test_a_site_with_unsigned_cases_stays_open(
    clinic: Installation, people: People, make: Maker
) -> None:
    make.case("one", status="final")
    make.case("two", status="preliminary")
    with clinic.writing() as db:
        sites.close(db, people.actors["administrator"], people.sites["one"])
    with pytest.raises(Conflict, match="1 cases"), clinic.writing() as db:
        sites.close(db, people.actors["administrator"], people.sites["two"])


def test_an_unknown_account_is_not_found(clinic: Installation, people: People) -> None:
    with pytest.raises(NotFound), clinic.writing() as db:
        users.rename(db, people.actors["administrator"], 99, "x")
