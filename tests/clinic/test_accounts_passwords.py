"""Passwords: strength, hashes, confirmation, lockout, change."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import People

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts import passwords, second_factor, sessions, tokens
from cytolens.clinic.actor import Actor, system
from cytolens.clinic.errors import NotAllowed, NotSignedIn, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Entry, SignIn, User

GOOD = "dintel abedul 7 cosecha"
_PRODUCTION = passwords.hasher.__wrapped__()  # before any fixture makes it cheap


def test_production_takes_what_owasp_asks_for() -> None:
    assert _PRODUCTION.memory_cost >= 46 * 1024
    assert _PRODUCTION.time_cost >= 1
    assert _PRODUCTION.hash("x").startswith("$argon2id$")


@pytest.mark.parametrize(
    "password, said",
    [
        ("abedul7 dint", None),
        (GOOD, None),
        ("ñandú árbol océano 🦜", None),
        (GOOD * 5, None),
        ("short pass1", "has 11 characters"),
        ("", "has 0 characters"),
        ("🦜" * 11, "has 11 characters"),
        ("x y" * 100, "too long: 300"),
        ("123456789012", "guessed quickly"),
        ("qwertyuiopasdf", "guessed quickly"),
        ("passwordpassword", "guessed quickly"),
        ("aaaaaaaaaaaaaaaaaaaa", "guessed quickly"),
        ("cytolenscytolens", "guessed quickly"),
        ("zzz dr.garcia yellow mug", "contains the user name or the name"),
        ("ZZZ DR.GARCIA yellow mug", "contains the user name or the name"),
        ("yellow mug of garcía now", "contains the user name or the name"),
        ("yellow mug of Lucía today", "contains the user name or the name"),
        ("yellow mug of li today", None),  # a short part of a name occurs by chance
    ],
)
def test_strength(password: str, said: str | None) -> None:
    if said is None:
        passwords.check_strength(password, "dr.garcia", "Lucía Li García")
        return
    with pytest.raises(Refused, match=said):
        passwords.check_strength(password, "dr.garcia", "Lucía Li García")


def test_what_would_help_is_said() -> None:
    with pytest.raises(Refused) as refused:
        passwords.check_strength("passwordpassword", "someone", "Some One")
    assert refused.value.rows


def test_a_hash_matches_its_password_alone() -> None:
    stored = passwords.hash_password(GOOD)
    assert stored.startswith("$argon2id$") and GOOD not in stored
    assert stored != passwords.hash_password(GOOD)
    assert passwords.matches(GOOD, stored)
    for wrong in (GOOD + " ", GOOD.upper(), "", "\x00", "\ud800", GOOD * 100):
        assert not passwords.matches(wrong, stored)


def test_the_same_letters_match_however_they_are_encoded() -> None:
    assert passwords.matches(
        "pa\u006e\u0303al de invierno", passwords.hash_password("pañal de invierno")
    )


def test_beyond_the_longest_nothing_matches() -> None:
    stored = passwords.hash_password("a" * (passwords.MOST + 1))
    assert not passwords.matches("a" * (passwords.MOST + 1), stored)


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$m=8,t=1,p=1$abc"])
def test_without_a_hash_nothing_matches(stored: str | None) -> None:
    assert not passwords.matches("of nobody", stored)


def test_an_unknown_user_takes_a_verification_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time itself is not measured: the same work is done, against a hash of the same parameters."""
    verified = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            verified.append(str(hash))
            return super().verify(hash, password)

    watched = Watched(time_cost=1, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "hasher", lambda: watched)
    passwords.matches("x", watched.hash("y"))
    passwords.matches("x", None)
    known, unknown = (text.rsplit("$", 2)[0] for text in verified)
    assert known == unknown == "$argon2id$v=19$m=16,t=1,p=1"


def _confirm(clinic: Installation, actor: Actor, password: str) -> None:
    second_factor.confirm(clinic, actor, password)


def _failures(clinic: Installation, actor: Actor) -> int | None:
    """Return the wrong confirmations of a session; None: it has ended."""
    with clinic.reading() as db:
        assert db.get_one(User, actor.user).failures == 0  # of signing in, which is not concerned
        session = db.get(SignIn, actor.session)
        return None if session is None else session.failures


def _actions(clinic: Installation) -> list[str]:
    with clinic.reading() as db:
        assert trail.verify(db, clinic.head)[1] is None
        return list(db.scalars(select(Entry.action).order_by(Entry.id)))


def test_a_wrong_confirmation_is_counted_and_a_right_one_forgives(
    clinic: Installation, in_session: Callable[[str], Actor], with_passwords: str
) -> None:
    doctor = in_session("doctor")
    with pytest.raises(NotAllowed, match="password is wrong") as refused:
        _confirm(clinic, doctor, "wrong")
    assert "after 5 wrong tries this session ends" in refused.value.fix
    assert _failures(clinic, doctor) == 1
    _confirm(clinic, doctor, with_passwords)
    assert _failures(clinic, doctor) == 0
    assert _actions(clinic) == ["user.unconfirmed"]


def test_too_many_wrong_confirmations_end_the_session_and_no_other(
    clinic: Installation, in_session: Callable[[str], Actor], with_passwords: str
) -> None:
    stolen, own = in_session("doctor"), in_session("doctor")
    for _ in range(clinic.settings.login_tries - 1):
        with pytest.raises(NotAllowed, match="wrong"):
            _confirm(clinic, stolen, "wrong")
    with pytest.raises(NotSignedIn, match="too many wrong") as refused:
        _confirm(clinic, stolen, "wrong")
    assert "sign in again" in refused.value.fix
    assert _failures(clinic, stolen) is None
    with pytest.raises(NotSignedIn, match="session has ended"):  # one of many sent at once
        _confirm(clinic, stolen, with_passwords)
    assert _actions(clinic)[-2:] == ["user.unconfirmed", "user.signed_out"]
    _confirm(clinic, own, with_passwords)
    assert _failures(clinic, own) == 0


def test_a_locked_sign_in_hinders_no_confirmation(
    clinic: Installation, in_session: Callable[[str], Actor], with_passwords: str
) -> None:
    doctor = in_session("doctor")
    with clinic.writing() as db:
        db.get_one(User, doctor.user).locked_until = clock.now() + timedelta(minutes=10)
    _confirm(clinic, doctor, with_passwords)


def test_too_many_wrong_confirmations_revoke_a_machines_token(
    clinic: Installation,
    people: People,
    machine: Callable[..., TestClient],
    with_passwords: str,
) -> None:
    other = machine("doctor")
    with clinic.writing() as db:
        token = tokens.issue(db, people.actors["doctor"], "a laboratory system")
    actor = tokens.actor_of_token(clinic, token, "127.0.0.1")
    assert actor is not None
    for tried in range(clinic.settings.login_tries - 1):
        with pytest.raises(NotAllowed, match="wrong") as refused:
            _confirm(clinic, actor, f"wrong {tried}")
        assert "this token is revoked" in refused.value.fix
    with pytest.raises(NotSignedIn, match="this token was revoked"):
        _confirm(clinic, actor, "wrong")
    with pytest.raises(NotSignedIn, match="token was revoked"):
        _confirm(clinic, actor, with_passwords)
    assert tokens.actor_of_token(clinic, token, "127.0.0.1") is None
    assert other.get("/api/v1/me").status_code == 200


def test_nobody_else_confirms(clinic: Installation, people: People) -> None:
    with pytest.raises(NotAllowed, match="No account"):
        _confirm(clinic, system(), GOOD)
    with pytest.raises(NotAllowed, match="wrong"):  # invited, no password yet
        _confirm(clinic, people.actors["doctor"], GOOD)


def test_a_changed_password_ends_all_other_sessions(
    clinic: Installation,
    people: People,
    browser: Callable[[str | None], TestClient],
    with_passwords: str,
) -> None:
    here, elsewhere, other = browser("doctor"), browser("doctor"), browser("director")
    new = "mango turbina 44 lluvia"
    sent = {"old": with_passwords, "new": new, "again": new}
    response = here.post("/account/password", data=sent)
    assert response.headers["location"] == "/account?done=password"
    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 303
    assert other.get("/account").status_code == 200
    _confirm(clinic, people.actors["doctor"], new)
    with pytest.raises(NotAllowed):
        _confirm(clinic, people.actors["doctor"], with_passwords)
    assert "user.password_changed" in _actions(clinic)


@pytest.mark.parametrize("ticked, status", [(True, 401), (False, 200)])
def test_a_changed_password_shuts_out_machines_where_it_is_ticked(
    browser: Callable[[str | None], TestClient],
    machine: Callable[..., TestClient],
    with_passwords: str,
    ticked: bool,
    status: int,
) -> None:
    here, program, other = browser("doctor"), machine("doctor"), machine("director")
    assert re.search(r'name="tokens" value="1" checked', here.get("/account").text)
    new = "mango turbina 44 lluvia"
    sent = {"old": with_passwords, "new": new, "again": new} | ({"tokens": "1"} if ticked else {})
    assert here.post("/account/password", data=sent).status_code == 303
    assert program.get("/api/v1/me").status_code == status
    assert other.get("/api/v1/me").status_code == 200


@pytest.mark.usefixtures("with_passwords")
@pytest.mark.parametrize(
    "path, sent",
    [
        ("password", {"old": "wrong", "new": "mango turbina 44", "again": "mango turbina 44"}),
        ("tokens", {"name": "a program", "password": "wrong"}),
        ("second-factor/off", {"password": "wrong"}),
    ],
)
def test_who_is_signed_out_for_wrong_passwords_is_told_so(
    browser: Callable[[str | None], TestClient],
    clinic: Installation,
    path: str,
    sent: dict[str, str],
) -> None:
    here, elsewhere = browser("doctor"), browser("doctor")
    for _ in range(clinic.settings.login_tries - 1):
        assert here.post(f"/account/{path}", data=sent).status_code == 403
    last = here.post(f"/account/{path}", data=sent)
    assert last.status_code == 401
    assert "this session has ended" in last.text and "/account/password" not in last.text
    assert here.get("/account").status_code == 303
    assert elsewhere.get("/account").status_code == 200


@pytest.mark.parametrize(
    "sent, status, said",
    [
        ({"old": "wrong"}, 403, "The password is wrong."),
        ({"new": GOOD, "again": GOOD}, 422, "is the old one"),
        ({"new": "short", "again": "short"}, 422, "has 5 characters"),
        ({"again": "another one, quite long"}, 422, "differ"),
        ({"new": "doctor mango turbina", "again": "doctor mango turbina"}, 422, "contains"),
    ],
)
def test_a_bad_change_changes_nothing(
    browser: Callable[[str | None], TestClient],
    clinic: Installation,
    people: People,
    with_passwords: str,
    sent: dict[str, str],
    status: int,
    said: str,
) -> None:
    good = {"old": GOOD, "new": "mango turbina 44 lluvia", "again": "mango turbina 44 lluvia"}
    here, elsewhere = browser("doctor"), browser("doctor")
    response = here.post("/account/password", data=good | sent)
    assert (response.status_code, said in response.text) == (status, True)
    assert elsewhere.get("/account").status_code == 200
    _confirm(clinic, people.actors["doctor"], with_passwords)


@pytest.mark.usefixtures("with_passwords")
def test_settings_say_how_many_tries(
    clinic: Installation, in_session: Callable[[str], Actor]
) -> None:
    clinic.settings, doctor = replace(clinic.settings, login_tries=1), in_session("doctor")
    with pytest.raises(NotSignedIn):
        _confirm(clinic, doctor, "wrong")
    assert _failures(clinic, doctor) is None


def test_ended_sessions_are_swept_away(
    clinic: Installation,
    people: People,
    browser: Callable[[str | None], TestClient],
    pass_time: Callable[..., None],
) -> None:
    browser("doctor")
    pass_time(minutes=clinic.settings.idle_minutes + 1)
    browser("doctor")
    with clinic.writing() as db:
        assert sessions.purge(db, clinic.settings) == 1
        assert len(sessions.list_sessions(db, people.actors["doctor"], clinic.settings)) == 1
