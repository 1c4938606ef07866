"""The desk in a browser: forms, refusals, what is hidden, what is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.desk import readings
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Case, Entry, Patient, QualityDraw, Reading
from cytolens.clinic.web import gallery
from cytolens.clinic.web.guard import CSRF_HEADER

Browser = Callable[[str | None], TestClient]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=y>"


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return found[1]


def test_from_a_new_patient_to_a_reading_by_plain_forms(
    browser: Browser, clinic: Installation, people: People, make: Maker
) -> None:
    doctor = browser("doctor")
    doctor.headers.pop(CSRF_HEADER)  # a browser without scripts sends the field of the form
    form = doctor.get("/patients/new").text
    sent = {
        "csrf": _field(form, "csrf"),
        "site": _field(form, "site"),
        "number": "77",
        "family_name": "García",
        "birth_date": "1985-03-02",
        "sex": "female",
    }
    answer = doctor.post("/patients/new", data=sent)
    assert answer.status_code == 303, answer.text
    patient = answer.headers["Location"]
    assert "García" in doctor.get("/patients?q=garc").text
    again = doctor.post("/patients/new", data=sent)
    assert again.status_code == 409 and "belongs to another patient" in again.text
    assert 'value="García"' in again.text  # what was typed is still there

    patient_id = int(re.findall(r"\d+", patient)[0])
    form = doctor.get(f"/cases/new?patient={patient_id}").text
    sent = {
        "csrf": _field(form, "csrf"),
        "patient": str(patient_id),
        "specimen": "cervix-liquid",
        "assigned": str(people.users["doctor"]),
    }
    wrong = doctor.post("/cases/new", data=sent | {"collected_on": "31.1.2026"})
    assert wrong.status_code == 422 and "is no day" in wrong.text
    answer = doctor.post("/cases/new", data=sent)
    assert answer.status_code == 303, answer.text
    case_id = int(re.findall(r"/cases/(\d+)", answer.headers["Location"])[0])
    assert f"ONE-{clock.now().year}-00001" in doctor.get(patient).text
    page = doctor.get(f"/cases/{case_id}").text
    assert "The case has no images yet" in page

    make.image(case_id, make.model(), probability=0.9)
    page = doctor.get(f"/cases/{case_id}").text
    sent = {
        "csrf": _field(page, "csrf"),
        "revision": _field(page, "revision"),
        "category": "NILM",
        "comment": "a first look",
    }
    wrong = doctor.post(f"/cases/{case_id}/read", data=sent | {"verdict": "agree"})
    assert wrong.status_code == 422 and "contradicts the category" in wrong.text
    assert "a first look" in wrong.text
    assert doctor.post(f"/cases/{case_id}/read", data=sent).status_code == 303
    page = doctor.get(f"/cases/{case_id}").text
    assert "Downgrade" in page and "a first look" in page and "status-preliminary" in page
    stale = doctor.post(f"/cases/{case_id}/read", data=sent | {"comment": "kept words"})
    assert stale.status_code == 409 and "kept words" in stale.text

    details = {
        "csrf": sent["csrf"],
        "revision": _field(page, "revision"),
        "adequacy": "satisfactory",
        "indicators": ["blood", "drying"],
        "quality_note": "thin",
    }
    assert doctor.post(f"/cases/{case_id}/details", data=details).status_code == 303
    with clinic.reading() as db:
        case = db.get_one(Case, case_id)
        assert (case.adequacy, case.indicators) == ("satisfactory", ["blood", "drying"])
        viewed = db.scalars(select(Entry).where(Entry.action == "case.viewed")).all()
        assert [line.details for line in viewed] == [{"findings": True}]  # one visit
    answer = doctor.post(
        f"/cases/{case_id}/assign",
        data={"csrf": sent["csrf"], "revision": str(case.revision), "doctor": ""},
    )
    assert answer.status_code == 303


def test_the_finding_of_an_image(browser: Browser, make: Maker) -> None:
    case_id, model = make.case(), make.model()
    first = make.image(
        case_id,
        model,
        0.62,
        decision="refer",
        reasons=["two classes are possible"],
        inside=["abnormal", "normal"],
        strangeness=1.42,
    )
    second = make.image(case_id, model, 0.05, inside=["normal"])
    waiting = make.image(case_id)
    broken = make.image(case_id, model, problem="the file is cut short", risk=1.0, decision="refer")
    doctor = browser("doctor")
    page = doctor.get(f"/cases/{case_id}?image={first}").text
    assert "two classes are possible" in page and "Strangeness 1.42" in page
    assert "one of abnormal, normal (90 %)" in page
    assert "62.0" in page and "38.0" in page
    assert "a bundle 1.0.0" in page and "0123456789ab" in page
    assert "not a diagnosis" in page
    order = [int(key) for key in re.findall(r'data-image="(\d+)"', page.split("</nav>")[1])]
    assert order == [broken, first, second, waiting]
    for image, said in (
        (second, "normal alone (90 %)"),
        (waiting, "The finding is being made"),
        (broken, "the file is cut short"),
    ):
        assert said in doctor.get(f"/cases/{case_id}?image={image}").text
        panel = doctor.get(f"/cases/{case_id}/images/{image}")
        assert said in panel.text and "<html" not in panel.text
    other = make.image(make.case(), model)
    assert doctor.get(f"/cases/{case_id}/images/{other}").status_code == 404
    assert doctor.get(f"/cases/{case_id}?image={other}").status_code == 200


def test_a_large_gallery_is_paged(
    browser: Browser, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "PAGE", 3)
    case_id, model = make.case(), make.model()
    images = [make.image(case_id, model, 0.9 - n / 10) for n in range(7)]
    doctor = browser("doctor")

    def shown(query: str) -> list[int]:
        page = doctor.get(f"/cases/{case_id}{query}").text
        return [int(key) for key in re.findall(r'class="thumb [^>]*data-image="(\d+)"', page)]

    assert shown("") == images[:3]
    assert shown(f"?image={images[4]}") == images[3:6]
    assert shown("?page=3") == shown("?page=99") == images[6:]
    assert 'loading="lazy"' in doctor.get(f"/cases/{case_id}").text


@pytest.mark.parametrize("place", ["case", "quality"])
def test_blind_reading_leaks_nothing(
    browser: Browser, clinic: Installation, people: People, make: Maker, place: str
) -> None:
    case_id = make.case(blind=place == "case")
    model = make.model()
    for probability in (0.013, 0.987):
        make.image(
            case_id,
            model,
            probability,
            label="koilocyte",
            probabilities={"koilocyte": probability, "parabasal": 1 - probability},
            inside=["koilocyte"],
            reasons=["the classes are too close"],
        )
    with clinic.writing() as db:
        case = db.get_one(Case, case_id)
        readings.enter(
            db, people.actors["doctor"], case_id, "primary", "HSIL", "", "Koilocytes", case.revision
        )
    address = f"/cases/{case_id}"
    if place == "quality":
        with clinic.writing() as db:
            db.get_one(Case, case_id).status = "final"
            draw = QualityDraw(case_id=case_id, period="2026-11", drawn_at=clock.now())
            db.add(draw)
            db.flush()
            address = f"/quality/{draw.id}"
    second = browser("second_doctor")
    with clinic.reading() as db:
        names = re.findall(r'title="(image\d+.png)"', second.get(address).text)
        assert names == sorted(names) and len(names) == 2
        patient_id = db.get_one(Case, case_id).patient_id
    leaks = re.compile(
        r"koilocyte|parabasal|too close|0\.98|98[.,]7|1[.,]3\s*%|0123456789ab|a bundle"
        r"|badge (clear|abnormal|refer)|thumb (clear|abnormal|refer)|downgrade|upgrade|bar value",
        re.IGNORECASE,
    )
    pages = [
        address,
        f"/cases/{case_id}",
        f"/cases/{case_id}/images/1",
        f"/cases/{case_id}/images/2",
        "/worklist",
        "/worklist?status=signed",
        f"/patients/{patient_id}",
        "/quality",
    ]
    for page in pages:
        answer = second.get(page)
        assert answer.status_code == 200, page
        assert not leaks.search(answer.text), (page, leaks.search(answer.text))
    assert leaks.search(browser("doctor").get(f"/cases/{case_id}").text)
    overlay = second.get("/images/1/overlay/grad_cam")
    assert overlay.status_code in (403, 404)

    page = second.get(address).text
    sent = {"revision": _field(page, "revision"), "category": "NILM", "verdict": "agree"}
    answer = second.post(address + ("" if place == "quality" else "/read"), data=sent)
    assert answer.status_code == 303
    assert leaks.search(second.get(f"/cases/{case_id}").text)  # now it is shown
    with clinic.reading() as db:
        reading = db.scalars(
            select(Reading).where(Reading.doctor_id == people.users["second_doctor"])
        )
        assert reading.one().blind
    if place == "quality":
        assert second.get(address).status_code == 404
        assert "HSIL" not in second.get("/quality").text and "NILM" in second.get("/quality").text


def test_what_was_typed_is_escaped(browser: Browser, clinic: Installation, make: Maker) -> None:
    case_id = make.case(clinical=EVIL, quality_note=EVIL)
    make.image(
        case_id,
        make.model(),
        0.9,
        label=EVIL,
        probabilities={EVIL: 0.9},
        inside=[EVIL],
        reasons=[EVIL],
    )
    with clinic.writing() as db:
        case = db.get_one(Case, case_id)
        case.accession = EVIL[:60]
        patient = db.get_one(Patient, case.patient_id)
        patient.family_name = patient.given_name = patient.number = EVIL
    doctor = browser("doctor")
    revision = _field(doctor.get(f"/cases/{case_id}").text, "revision")
    sent = {"revision": revision, "category": "HSIL", "comment": EVIL}
    assert doctor.post(f"/cases/{case_id}/read", data=sent).status_code == 303
    for page in (
        f"/cases/{case_id}",
        f"/cases/{case_id}/images/1",
        "/worklist",
        f"/patients/{patient.id}",
        "/patients",
        f"/cases/new?patient={patient.id}",
        f"/worklist?text={EVIL}",
        f"/patients?q={EVIL}",
    ):
        answer = doctor.get(page)
        assert answer.status_code == 200, page
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text, page


def test_pages_hold_no_inline_script_or_style(browser: Browser, make: Maker) -> None:
    case_id = make.case()
    make.image(case_id, make.model())
    doctor = browser("doctor")
    for page in ("/worklist", "/patients", "/patients/new", f"/cases/{case_id}", "/quality"):
        text = doctor.get(page).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", text), page


def test_another_site_and_other_roles(browser: Browser, clinic: Installation, make: Maker) -> None:
    case_id = make.case()
    image = make.image(case_id, make.model())
    with clinic.writing() as db:
        patient_id = db.get_one(Case, case_id).patient_id
        draw = QualityDraw(case_id=case_id, period="2026-11", drawn_at=clock.now())
        db.add(draw)
        db.flush()
    reads = [
        f"/cases/{case_id}",
        f"/cases/{case_id}/images/{image}",
        f"/patients/{patient_id}",
        f"/cases/new?patient={patient_id}",
        f"/quality/{draw.id}",
    ]
    writes = [f"/cases/{case_id}/{what}" for what in ("read", "details", "assign")]
    other = browser("doctor_two")
    assert {other.get(page).status_code for page in reads} == {404}
    posts = [*writes, f"/patients/{patient_id}", f"/quality/{draw.id}"]
    assert {other.post(page, data={"category": "NILM"}).status_code for page in posts} == {404}
    director = browser("director")
    assert {director.get(page).status_code for page in reads} == {403}
    assert {director.post(page).status_code for page in posts} == {403}
    assert browser("doctor").get("/cases/99999").status_code == 404
