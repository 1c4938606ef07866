"""The demonstration: made through the services, once, and resumed where it was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from cytolens.clinic import clock, trail
from cytolens.clinic.accounts.passwords import matches
from cytolens.clinic.demo import Demonstration, demonstration, people, rereading, specimens, stories
from cytolens.clinic.demo.acting import Acting
from cytolens.clinic.demo.stories import STAGES, Story
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import (
    Case,
    Choice,
    Entry,
    Finding,
    Image,
    Model,
    Patient,
    QualityDraw,
    User,
)
from cytolens.clinic.vocabulary import vocabulary
from cytolens.clinic.web.app import create_app
from cytolens.core.files import sha256_file
from cytolens.data.phantom import KINDS


def _story(number: int, until: str, hours: float, **more: object) -> Story:
    category = "HSIL" if STAGES.index(until) >= STAGES.index("read") else ""
    return Story(
        f"T-{number}",
        number,
        () if until == "received" else ("NILM", "HSIL"),
        until,
        timedelta(hours=hours),
        **{"category": category, **more},  # type: ignore[arg-type]
    )


TOLD = [
    _story(1, "amended", 24 * 30),
    _story(2, "signed", 24 * 9, site=people.SOUTH, doctor="doctor2", blind=True),
    _story(3, "read", 30),
    _story(4, "analysed", 5, blind=True, assigned=True),
    _story(5, "received", 1),
    _story(6, "uploaded", 0.5),
]
STATUS = ["amended", "final", "preliminary", "open", "open", "open"]


def noise(folder: Path, patient: int, truth: Sequence[str]) -> list[Path]:
    """Draw images of noise, as the tiny bundle knows them."""
    draw = np.random.default_rng(patient)
    paths = [folder / f"{number}.png" for number in range(len(truth))]
    for path in paths:
        cv2.imwrite(str(path), draw.integers(0, 256, (48, 48, 3), dtype=np.uint8))
    return paths


class Shown:
    """A demonstration of few stories, and what was asked of it."""

    def __init__(self, bundle: Path) -> None:
        self.bundle = bundle
        self.trained = 0
        self.said: list[str] = []

    def make_bundle(self, folder: Path, phantoms: object, abnormal: Sequence[str]) -> Path:
        assert phantoms is specimens.TRAINED_ON
        assert abnormal == specimens.ABNORMAL
        assert folder.name == "demo-run"
        self.trained += 1
        return self.bundle

    def prepare(self, clinic: Installation, told: Sequence[Story] = TOLD) -> None:
        Demonstration(self.make_bundle, say=self.said.append, told=told, draw=noise).prepare(clinic)


@pytest.fixture
def shown(tiny_bundle: Path) -> Shown:
    return Shown(tiny_bundle)


def _cases(clinic: Installation) -> list[Case]:
    with clinic.reading() as db:
        found = db.scalars(select(Case).order_by(Case.accession)).all()
        for case in found:
            _ = [(reading.blind, reading.category) for reading in case.readings], case.reports
        return list(found)


def test_every_state_is_there(clinic: Installation, shown: Shown) -> None:
    before = clock.now()
    shown.prepare(clinic)
    cases = _cases(clinic)
    assert [case.status for case in cases] == STATUS
    assert [case.images_count for case in cases] == [2, 2, 2, 2, 0, 2]
    assert [case.pending for case in cases] == [0, 0, 0, 0, 0, 2]
    assert [len(case.reports) for case in cases] == [2, 1, 0, 0, 0, 0]
    assert [case.blind for case in cases] == [False, True, False, True, False, False]
    assert cases[1].readings[0].blind
    assert [case.assigned_id is not None for case in cases] == [False] * 3 + [True] + [False] * 2
    for story, case in zip(TOLD, cases, strict=True):
        age = before - case.received_at
        assert abs(age - story.age) < timedelta(minutes=1)
        assert case.signed_at is None or case.received_at < case.signed_at <= clock.now()
    with clinic.reading() as db:
        assert db.scalar(select(func.count(Finding.id))) == 8
        made = db.scalars(select(Finding.created_at).order_by(Finding.id)).all()
        assert made[0] < before - timedelta(days=29)  # the findings lie in the past too
        activated = db.scalars(select(Model.activated_at)).one()
        assert activated is not None
        assert activated < made[0]


def test_the_audit_log_is_whole_and_in_order(clinic: Installation, shown: Shown) -> None:
    shown.prepare(clinic)
    with clinic.reading() as db:
        assert trail.verify(db, clinic.head)[1] is None
        times = db.scalars(select(Entry.at).order_by(Entry.id)).all()
        assert sorted(times) == list(times)
        actions = set(db.scalars(select(Entry.action)))
    assert {"user.created", "bundle.activated", "case.created", "images.added"} <= actions
    assert {"reading.entered", "report.signed", "report.amended"} <= actions


def test_cleared_cases_are_drawn_and_most_are_read_again(
    clinic: Installation, shown: Shown
) -> None:
    told = [_story(number, "signed", 24 * 40 + number, category="NILM") for number in range(1, 9)]
    shown.prepare(clinic, told)
    present = clock.now()
    for _ in range(2):
        with clinic.reading() as db:
            draws = db.scalars(select(QualityDraw)).all()
            assert len(draws) == 2  # 15 % of 8, rounded up
            for draw in draws:
                assert (draw.reading_id is None) == (draw.case_id % rereading._LEFT == 0)
            readers = {draw.reading.doctor.username for draw in draws if draw.reading}
        assert readers <= {"doctor2"}  # doctor signed them
        rereading.draw_and_read(clinic, people.cast_of(clinic), present)


def test_a_second_start_changes_nothing(clinic: Installation, shown: Shown) -> None:
    shown.prepare(clinic)
    with clinic.reading() as db:
        lines = db.scalar(select(func.max(Entry.id)))
    shown.prepare(clinic)
    assert shown.trained == 1
    with clinic.reading() as db:
        assert db.scalar(select(func.max(Entry.id))) == lines
    assert sum("clinic-demo  " in line for line in shown.said) == 2 * len(people.ACCOUNTS)


def test_a_start_that_was_cut_off_goes_on(
    clinic: Installation, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign, tries = Acting._sign, []

    def cut_off(acting: Acting, story: Story) -> None:
        tries.append(story)
        if len(tries) == 2:
            raise KeyboardInterrupt
        sign(acting, story)

    monkeypatch.setattr(Acting, "_sign", cut_off)
    with pytest.raises(KeyboardInterrupt):
        shown.prepare(clinic)
    with clinic.reading() as db:
        mark = db.get_one(Choice, demonstration.MARK).value
    assert not mark["whole"]
    shown.prepare(clinic)
    assert [case.status for case in _cases(clinic)] == STATUS
    assert shown.trained == 1
    with clinic.reading() as db:
        assert db.scalar(select(func.count(Patient.id))) == 6
        assert db.scalar(select(func.count(Image.id))) == 10
        assert db.get_one(Choice, demonstration.MARK).value == {**mark, "whole": True}
        assert trail.verify(db, clinic.head)[1] is None


def test_accounts_sign_in_with_the_public_password(clinic: Installation, shown: Shown) -> None:
    shown.prepare(clinic, told=[])
    with clinic.reading() as db:
        users = {user.username: user for user in db.scalars(select(User))}
    assert set(users) == {"admin", "doctor", "doctor2", "doctor3", "director"}
    assert all(matches(people.PASSWORD, user.password_hash) for user in users.values())


def test_the_sign_in_page_of_a_demonstration_names_accounts(
    clinic: Installation, shown: Shown
) -> None:
    del shown
    plain = TestClient(create_app(clinic), base_url=clinic.settings.url).get("/sign-in").text
    assert people.PASSWORD not in plain
    clinic.settings = type(clinic.settings)(**{**vars(clinic.settings), "demo": True})
    named = TestClient(create_app(clinic), base_url=clinic.settings.url).get("/sign-in").text
    assert people.PASSWORD in named
    for account in people.ACCOUNTS:
        assert f"<code>{account.username}</code>" in named


def test_stories_can_be_told() -> None:
    told = [*stories.past(), *stories.present()]
    assert len({story.accession for story in told}) == len(told)
    assert {story.until for story in stories.present()} == set(STAGES)
    assert len(stories.past()) == stories.HISTORY
    words = vocabulary(specimens.SPECIMEN)
    indicators = {term.code for term in words.indicators}
    doctors = {a.username: a.sites for a in people.ACCOUNTS if "doctor" in a.username}
    for story in told:
        assert set(story.indicators) <= indicators
        assert story.site in doctors[story.doctor]
        assert bool(story.category) == story.reached("read")
        if story.category:
            words.category(story.category)
        assert stories.patient_of(story).birth_date < date(2010, 1, 1)  # type: ignore[operator]
    assert stories.past() == stories.past()  # drawn from a seed


def test_each_patient_has_one_name_and_number() -> None:
    told = [*stories.past(), *stories.present()]
    names = {(story.patient, story.site): stories.patient_of(story) for story in told}
    assert len({identity.number for identity in names.values()}) == len(names)
    full = {(one.family_name, one.given_name, one.birth_date) for one in names.values()}
    assert len(full) == len({story.patient for story in told})


def test_smears_are_drawn_from_patients_the_bundle_has_not_seen(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    paths = specimens.smear(first, 5, ("NILM", "NILM", "HSIL"))
    again = specimens.smear(second, 5, ("NILM", "NILM", "HSIL"))
    assert [path.name for path in paths] == ["field-01.png", "field-02.png", "field-03.png"]
    hashes = [sha256_file(path) for path in paths]
    assert hashes == [sha256_file(path) for path in again]
    assert len(set(hashes)) == 3
    assert cv2.imread(str(paths[0])).shape == (224, 224, 3)
    [blurred] = specimens.smear(tmp_path / "3", 5, (specimens.BLURRED,))
    sharp = cv2.Laplacian(cv2.imread(str(paths[0])), cv2.CV_64F).std()
    assert cv2.Laplacian(cv2.imread(str(blurred)), cv2.CV_64F).std() < 0.5 * sharp
    assert specimens.SHOWN.seed != specimens.TRAINED_ON.seed
    assert set(specimens.ABNORMAL) < set(KINDS.get(specimens.SHOWN.tissue).classes)
