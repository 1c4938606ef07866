"""Invitations, the first administrator, tokens of machines."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import invitations, tokens
from cytolens.clinic.accounts.first import first_link
from cytolens.clinic.errors import NotAllowed, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import users
from cytolens.clinic.rights import Action
from cytolens.clinic.tables import Entry, Invitation, Token, User
from cytolens.clinic.web.app import create_app

Browser = Callable[[str | None], TestClient]
PassTime = Callable[..., None]
GOOD = "mango turbina 44 lluvia"


def _invited(clinic: Installation, people: People) -> tuple[int, str]:
    with clinic.writing() as db:
        return users.invite(
            db, people.actors["administrator"], "new.doctor", "Nora Blau", "doctor",
            [people.sites["one"]],
        )  # fmt: skip


def test_an_invited_person_chooses_a_password_once(
    clinic: Installation, people: People, browser: Browser
) -> None:
    user_id, token = _invited(clinic, people)
    client = browser(None)
    shown = client.get(f"/welcome/{token}")
    assert "Nora Blau" in shown.text and "new.doctor" in shown.text
    sent = {"password": GOOD, "again": GOOD}
    response = client.post(f"/welcome/{token}", data=sent)
    assert response.headers["location"] == "/sign-in?done=password"
    assert "set-cookie" not in response.headers
    signed = client.post("/sign-in", data={"username": "new.doctor", "password": GOOD})
    assert signed.status_code == 303
    assert client.get(f"/welcome/{token}").status_code == 404
    again = client.post(f"/welcome/{token}", data={"password": GOOD + "x", "again": GOOD + "x"})
    assert again.status_code == 404
    with clinic.reading() as db:
        stored = db.scalars(select(Invitation.token_hash)).all()
        assert token not in stored
        logged = db.scalars(select(Entry)).all()
        assert all(token not in str(entry.details) for entry in logged)
        assert {"user.made", "user.invited", "user.password_chosen"} <= {e.action for e in logged}
        assert db.get_one(User, user_id).failures == 0


def test_all_links_that_do_not_work_are_answered_alike(
    clinic: Installation, people: People, browser: Browser, pass_time: PassTime
) -> None:
    user_id, earlier = _invited(clinic, people)
    with clinic.writing() as db:
        later = invitations.invite(db, people.actors["administrator"], db.get_one(User, user_id))
    client = browser(None)
    assert client.get(f"/welcome/{later}").status_code == 200
    pages = {client.get(f"/welcome/{token}").text for token in (earlier, "unknown", "%00", "ü")}
    pass_time(hours=invitations.HOURS)
    pages.add(client.get(f"/welcome/{later}").text)
    assert len(pages) == 1 and "unknown, was used, or is past its end" in pages.pop()


def test_a_link_of_a_disabled_account_does_not_work(clinic: Installation, people: People) -> None:
    user_id, token = _invited(clinic, people)
    with clinic.writing() as db:
        db.get_one(User, user_id).active = False
    with pytest.raises(NotFound):
        invitations.accept(clinic, token, GOOD, address="")


@pytest.mark.parametrize(
    "sent, said",
    [
        ({"again": "other"}, "differ"),
        ({"password": "short", "again": "short"}, "5 characters"),
        ({"password": "nora blue horse 7", "again": "nora blue horse 7"}, "contains"),
        ({"password": "", "again": ""}, "0 characters"),
    ],
)
def test_a_weak_password_leaves_the_link_as_it_is(
    clinic: Installation, people: People, browser: Browser, sent: dict[str, str], said: str
) -> None:
    _, token = _invited(clinic, people)
    client = browser(None)
    response = client.post(f"/welcome/{token}", data={"password": GOOD, "again": GOOD} | sent)
    assert (response.status_code, said in response.text) == (422, True)
    assert GOOD not in response.text
    assert client.get(f"/welcome/{token}").status_code == 200


def test_the_user_name_of_an_invited_person_is_not_theirs_to_choose(
    clinic: Installation, people: People, browser: Browser
) -> None:
    user_id, token = _invited(clinic, people)
    sent = {"password": GOOD, "again": GOOD, "username": "administrator2", "name": "Other"}
    assert browser(None).post(f"/welcome/{token}", data=sent).status_code == 303
    with clinic.reading() as db:
        user = db.get_one(User, user_id)
        assert (user.username, user.name) == ("new.doctor", "Nora Blau")


def _first_page(clinic: Installation, link: str) -> tuple[TestClient, str]:
    client = TestClient(create_app(clinic), base_url=clinic.settings.url, follow_redirects=False)
    assert link.startswith(clinic.settings.url + "/welcome/")
    return client, link.removeprefix(clinic.settings.url)


def test_the_first_start_makes_an_administrator_by_a_link(clinic: Installation) -> None:
    lost, link = first_link(clinic), first_link(clinic)
    assert lost is not None and link is not None and lost != link
    client, way = _first_page(clinic, link)
    assert client.get(lost.removeprefix(clinic.settings.url)).status_code == 404
    assert 'name="name"' in client.get(way).text
    sent = {"password": GOOD, "again": GOOD, "username": "Anna.Berg", "name": "Anna Berg"}
    for wrong in ({"username": "~first"}, {"username": "system"}, {"username": "a"}, {"name": " "}):
        assert client.post(way, data=sent | wrong).status_code == 422
    assert client.post(way, data=sent).status_code == 303
    assert client.get(way).status_code == 404
    assert first_link(clinic) is None
    signed = client.post("/sign-in", data={"username": "anna.berg", "password": GOOD})
    assert signed.status_code == 303
    assert client.get("/users").status_code == 200
    with clinic.reading() as db:
        [user] = db.scalars(select(User))
        assert (user.username, user.role) == ("anna.berg", "administrator")
        assert trail.verify(db, clinic.head)[1] is None


def test_before_the_link_is_used_nobody_signs_in(clinic: Installation) -> None:
    link = first_link(clinic)
    assert link is not None
    client, _ = _first_page(clinic, link)
    for password in ("", "admin", "password", link.rsplit("/", 1)[1]):
        sent = {"username": invitations.UNNAMED, "password": password}
        assert client.post("/sign-in", data=sent).status_code == 401


def test_an_unused_link_ends_after_72_hours_and_a_new_start_makes_another(
    clinic: Installation, pass_time: PassTime
) -> None:
    link = first_link(clinic)
    assert link is not None
    pass_time(hours=72)
    client, way = _first_page(clinic, link)
    assert client.get(way).status_code == 404
    assert first_link(clinic) is not None


def test_where_there_are_accounts_there_is_no_first_link(
    clinic: Installation, people: People
) -> None:
    assert people.users and first_link(clinic) is None


# --- tokens of machines


def _issue(
    clinic: Installation, people: People, who: str = "doctor", *actions: Action, days: int = 90
) -> str:
    with clinic.writing() as db:
        return tokens.issue(db, people.actors[who], "a program", actions, days)


def test_a_token_acts_for_its_account(clinic: Installation, people: People) -> None:
    token = _issue(clinic, people)
    assert re.fullmatch(r"cyt_[A-Za-z0-9_-]{43}", token)
    actor = tokens.actor_of_token(clinic, token, "10.0.0.1")
    assert actor is not None
    assert (actor.user, actor.address, actor.only) == (people.users["doctor"], "10.0.0.1", None)
    with clinic.reading() as db:
        [row] = db.scalars(select(Token))
        assert token not in (row.token_hash, row.name)
        [entry] = db.scalars(select(Entry).where(Entry.action == "token.issued"))
        assert token not in str(entry.details)


def test_a_token_may_do_less_than_its_account(clinic: Installation, people: People) -> None:
    token = _issue(clinic, people, "doctor", Action.READ_CASES)
    actor = tokens.actor_of_token(clinic, token, "")
    assert actor is not None
    assert actor.may(Action.READ_CASES)
    assert not actor.may(Action.SIGN_REPORTS) and not actor.may(Action.OWN_ACCOUNT)
    with pytest.raises(NotAllowed):
        actor.must(Action.READ_PATIENTS)


def test_a_token_loses_what_its_account_loses(clinic: Installation, people: People) -> None:
    token = _issue(clinic, people, "doctor", Action.READ_CASES)
    with clinic.writing() as db:
        db.get_one(User, people.users["doctor"]).role = "director"
        db.scalars(select(Token)).one().actions = [Action.READ_CASES, "an action of old"]
    actor = tokens.actor_of_token(clinic, token, "")
    assert actor is not None and not any(actor.may(action) for action in Action)


@pytest.mark.parametrize("token", ["", "cyt_", "cyt_unknown", "\ud800", "cyt_" + "a" * 10_000])
def test_an_unknown_token_is_nobody(clinic: Installation, people: People, token: str) -> None:
    assert people.users and tokens.actor_of_token(clinic, token, "") is None


def test_a_session_cookie_is_no_token(clinic: Installation, browser: Browser) -> None:
    [cookie] = browser("doctor").cookies.values()
    assert tokens.actor_of_token(clinic, cookie, "") is None


@pytest.mark.parametrize("how", ["revoked", "past", "disabled", "reset"])
def test_a_token_ends(clinic: Installation, people: People, pass_time: PassTime, how: str) -> None:
    token = _issue(clinic, people, days=1)
    administrator, doctor = people.actors["administrator"], people.users["doctor"]
    if how == "past":
        pass_time(days=1)
    with clinic.writing() as db:
        [row] = db.scalars(select(Token.id))
        if how == "revoked":
            tokens.revoke(db, people.actors["doctor"], row)
        elif how == "disabled":
            users.disable(db, administrator, doctor)
            users.enable(db, administrator, doctor)  # does not come back with the account
        elif how == "reset":
            users.reset(db, administrator, doctor)
    assert tokens.actor_of_token(clinic, token, "") is None


def test_the_last_use_is_noted_once_a_minute(
    clinic: Installation, people: People, pass_time: PassTime
) -> None:
    token = _issue(clinic, people)

    def used() -> object:
        tokens.actor_of_token(clinic, token, "")
        with clinic.reading() as db:
            return db.scalars(select(Token.used_at)).one()

    first = used()
    assert first is not None and used() == first
    pass_time(minutes=1)
    later = used()
    assert later != first and later is not None


def test_a_token_is_made_shown_and_revoked_in_the_browser(
    clinic: Installation, people: People, browser: Browser, with_passwords: str
) -> None:
    client, other = browser("doctor"), browser("director")
    asked = {"name": "<b>scanner</b>", "actions": [Action.READ_CASES]}
    refused = client.post("/account/tokens", data={**asked, "password": "not the password"})
    assert refused.status_code == 403 and "cyt_" not in refused.text
    made = client.post("/account/tokens", data={**asked, "password": with_passwords})
    found = re.search(r"cyt_[\w-]{43}", made.text)
    assert made.status_code == 200 and found is not None
    shown = client.get("/account").text
    assert found[0] not in shown and "&lt;b&gt;scanner" in shown and "<b>scanner" not in shown
    with clinic.reading() as db:
        [view] = tokens.list_tokens(db, people.actors["doctor"])
        assert view.expires_at > clock.now()
    assert other.post(f"/account/tokens/{view.id}/revoke").status_code == 404
    assert client.post(f"/account/tokens/{view.id}/revoke").status_code == 303
    assert client.post(f"/account/tokens/{view.id}/revoke").status_code == 404


@pytest.mark.parametrize(
    "name, actions, days, error, said",
    [
        ("", [], 90, Refused, "empty"),
        ("x" * 101, [], 90, Refused, "101 characters"),
        ("x\x00", [], 90, Refused, "not shown"),
        ("x", [], 0, Refused, "0 days"),
        ("x", [], 366, Refused, "366 days"),
        ("x", ["fly"], 90, Refused, "unknown"),
        ("x", [Action.MANAGE_USERS], 90, NotAllowed, "does not include"),
    ],
)
def test_a_bad_token_is_not_made(
    clinic: Installation,
    people: People,
    name: str,
    actions: list[str],
    days: int,
    error: type[Refused],
    said: str,
) -> None:
    with pytest.raises(error, match=said), clinic.writing() as db:
        tokens.issue(db, people.actors["doctor"], name, actions, days)


def test_tokens_do_not_pile_up_nor_make_stronger_ones(clinic: Installation, people: People) -> None:
    for _ in range(20):
        _issue(clinic, people)
    with pytest.raises(Refused, match="has 20 tokens"):
        _issue(clinic, people)
    weak = _issue(clinic, people, "director", Action.OWN_ACCOUNT)
    actor = tokens.actor_of_token(clinic, weak, "")
    assert actor is not None
    with pytest.raises(Refused, match="more than itself"), clinic.writing() as db:
        tokens.issue(db, actor, "stronger")
    with pytest.raises(NotAllowed), clinic.writing() as db:
        tokens.issue(db, actor, "stronger", [Action.READ_FIGURES])
