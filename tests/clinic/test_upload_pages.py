"""Uploading, progress and pictures over HTTP."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image as Pillow
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.clinic.conftest import People

from cytolens.clinic.accounts import sessions
from cytolens.clinic.inference import queue
from cytolens.clinic.inference.analysis import Analyst
from cytolens.clinic.inference.explainer import Explainer
from cytolens.clinic.inference.loop import Loop
from cytolens.clinic.installation import Installation
from cytolens.clinic.management import users
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Entry, Image
from cytolens.clinic.web.guard import CSRF_HEADER
from cytolens.clinic.web.pages.events import Watch

JSON = {"Accept": "application/json"}
Browser = Callable[[str | None], TestClient]


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    content = io.BytesIO()
    Pillow.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def given(*seeds: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (f"{seed}.png", picture(seed))) for seed in seeds]


def left(clinic: Installation) -> list[Any]:
    return list((clinic.settings.data / "incoming").glob("*"))


def test_a_program_is_told_what_became_of_its_files(
    clinic: Installation, browser: Browser, make: Any
) -> None:
    case, doctor = make.case(), browser("doctor")
    files = [*given(1, 2), ("files", ("notes.txt", b"hello")), *given(1)]
    answer = doctor.post(f"/cases/{case}/upload", files=files, headers=JSON)
    assert answer.status_code == 200
    content = answer.json()
    assert len(content["added"]) == 2 and content["known"] == ["1.png"]
    assert content["refused"] == [{"name": "notes.txt", "why": "is not an image of a known format"}]
    assert left(clinic) == []


def test_a_form_without_scripts_works(clinic: Installation, browser: Browser, make: Any) -> None:
    case, doctor = make.case(), browser("doctor")
    csrf = doctor.headers.pop(CSRF_HEADER)
    files = [("files", ("größe ñ.png", picture(1)))]
    answer = doctor.post(f"/cases/{case}/upload", files=files, data={"csrf": csrf})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/cases/{case}?done=uploaded")
    again = doctor.post(f"/cases/{case}/upload", files=files, data={"csrf": csrf})
    assert again.headers["location"] == f"/cases/{case}?done=known"
    with clinic.reading() as db:
        assert db.scalars(select(Image.name)).all() == ["größe ñ.png"]
    bad = doctor.post(
        f"/cases/{case}/upload", files=[("files", ("<b>.png", b"no"))], data={"csrf": csrf}
    )
    assert bad.status_code == 200 and "&lt;b&gt;.png: is not an image" in bad.text
    signed = make.case(status="final")
    refused = doctor.post(f"/cases/{signed}/upload", files=files, data={"csrf": csrf})
    assert refused.status_code == 409
    forged = doctor.post(f"/cases/{case}/upload", files=files, data={"csrf": "no"})
    assert forged.status_code == 403
    assert left(clinic) == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "multipart/form-data; boundary=x", 422, "cut off"),
        (b"--x\r\nno header\r\n\r\n", "multipart/form-data; boundary=x", 422, "cut off"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no files in this upload"),
        (b"{}", "application/json", 422, "This is no upload"),
        (b"x", "multipart/form-data", 422, "This is no upload"),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nhalf',
            "multipart/form-data; boundary=x",
            422,
            "cut off",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="' + b"a" * 20_000,
            "multipart/form-data; boundary=x",
            422,
            "cut off or is no form",
        ),
    ],
)
def test_what_is_no_upload_is_refused(
    clinic: Installation,
    browser: Browser,
    make: Any,
    body: bytes,
    kind: str,
    status: int,
    said: str,
) -> None:
    doctor = browser("doctor")
    answer = doctor.post(
        f"/cases/{make.case()}/upload", content=body, headers=JSON | {"Content-Type": kind}
    )
    assert answer.status_code == status and said in answer.json()["what"]
    assert left(clinic) == []


def test_an_upload_beyond_the_limit_is_refused(
    clinic: Installation, browser: Browser, make: Any
) -> None:
    object.__setattr__(clinic.settings, "request_bytes", 1 << 20)
    files = [("files", ("a.png", bytes(2 << 20)))]
    answer = browser("doctor").post(f"/cases/{make.case()}/upload", files=files, headers=JSON)
    assert answer.status_code == 413
    assert left(clinic) == [] and Settings.request_bytes > 1 << 20


def test_who_may_not_upload_is_refused_before_anything_is_kept(
    clinic: Installation, browser: Browser, make: Any
) -> None:
    case, other, signed = make.case(), make.case("two"), make.case(status="final")
    for name, where, status in (
        (None, case, 401),
        ("administrator", case, 403),
        ("director", case, 403),
        ("doctor", other, 404),
        ("doctor", 999, 404),
        ("doctor", signed, 409),
    ):
        answer = browser(name).post(f"/cases/{where}/upload", files=given(1), headers=JSON)
        assert answer.status_code == status, name
    with clinic.reading() as db:
        assert db.scalars(select(Image.id)).all() == []
    assert left(clinic) == []


def test_pictures_are_kept_by_the_browser_for_its_session(
    clinic: Installation, browser: Browser, make: Any
) -> None:
    case, doctor = make.case(), browser("doctor")
    [image] = doctor.post(f"/cases/{case}/upload", files=given(1), headers=JSON).json()["added"]
    for address, kind in (
        (f"/images/{image}", "image/png"),
        (f"/images/{image}/thumbnail", "image/jpeg"),
    ):
        answer = doctor.get(address)
        assert answer.status_code == 200 and answer.headers["content-type"] == kind
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["vary"] == "Cookie"
        same = doctor.get(address, headers={"If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert browser("doctor_two").get(address).status_code == 404
        assert browser("director").get(address).status_code == 403
    shown = Pillow.open(io.BytesIO(doctor.get(f"/images/{image}").content))
    assert np.array_equal(shown, Pillow.open(io.BytesIO(picture(1))))
    with clinic.reading() as db:
        viewed = db.scalars(select(Entry).where(Entry.action == "image.viewed")).all()
        assert [(line.key, line.username) for line in viewed] == [(str(image), "doctor")]
        assert not any("1.png" in json.dumps(e.details) for e in db.scalars(select(Entry)))
    with clinic.writing() as db:
        db.get_one(Image, image).removed_at = db.get_one(Case, case).created_at
    gone = doctor.get(f"/images/{image}", headers=JSON)
    assert gone.status_code == 404 and "was removed" in gone.json()["what"]


def events(answer: Any) -> list[tuple[str, Any]]:
    found = []
    for block in answer.text.strip().split("\n\n"):
        kind, _, data = block.partition("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.usefixtures("active_bundle")
def test_progress_is_told_until_nothing_waits(
    clinic: Installation,
    browser: Browser,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cytolens.clinic.web.pages.events.EVERY", 0.05)
    case, doctor = make.case(), browser("doctor")
    assert doctor.get(f"/cases/{case}/events").status_code == 204
    assert browser("doctor_two").get(f"/cases/{case}/events").status_code == 404
    doctor.post(f"/cases/{case}/upload", files=given(1, 2, 3), headers=JSON)
    loop = Loop(clinic, "w", threading.Event())

    def work() -> None:
        time.sleep(0.3)
        Analyst(loop).step()

    worker = threading.Thread(target=work)
    worker.start()
    answer = doctor.get(f"/cases/{case}/events")
    worker.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer)
    assert told[0] == ("progress", {"images": 3, "pending": 3, "finished": 0})
    assert told[-1] == ("done", {"images": 3, "pending": 0, "finished": 3})
    assert [kind for kind, _ in told[:-1]] == ["progress"] * (len(told) - 1)


def _end_session(db: Session, people: People) -> None:
    sessions.end_all(db, people.users["doctor"])


def _disable(db: Session, people: People) -> None:
    users.disable(db, people.actors["administrator"], people.users["doctor"])


def _move_away(db: Session, people: People) -> None:
    placed = [people.sites["two"]]
    users.assign(db, people.actors["administrator"], people.users["doctor"], "doctor", placed)


@pytest.mark.parametrize("change", [_end_session, _disable, _move_away])
def test_progress_ends_with_the_right_to_see_it(
    clinic: Installation,
    people: People,
    browser: Browser,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Session, People], None],
) -> None:
    monkeypatch.setattr("cytolens.clinic.web.pages.events.EVERY", 0.02)
    monkeypatch.setattr("cytolens.clinic.web.pages.events.JUDGED", 0.1)
    case, doctor = make.case(), browser("doctor")
    make.image(case)  # no worker: it waits for good
    begun, changed, count = threading.Event(), [], Watch.counts

    def watched(self: Watch, clinic: Installation, case_id: int) -> tuple[int, int]:
        begun.set()
        return count(self, clinic, case_id)

    def end() -> None:
        assert begun.wait(30)
        with clinic.writing() as db:
            change(db, people)
        changed.append(time.monotonic())

    monkeypatch.setattr(Watch, "counts", watched)
    later = threading.Thread(target=end)
    later.start()
    answer = doctor.get(f"/cases/{case}/events")
    ended = time.monotonic()
    later.join()
    waits = {"images": 1, "pending": 1, "finished": 0}
    assert (answer.status_code, events(answer)) == (200, [("progress", waits)])
    assert ended - changed[0] < 10  # seconds, not the ten minutes of a stream


def test_many_watchers_ask_the_database_once_a_second(
    clinic: Installation, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, watch, asked = [make.case(), make.case()], Watch(), []
    reading = clinic.reading
    monkeypatch.setattr(clinic, "reading", lambda: asked.append(1) or reading())
    with watch.watching(cases[0]), watch.watching(cases[1]):
        for _ in range(20):
            assert watch.counts(clinic, cases[0]) == watch.counts(clinic, cases[1]) == (0, 0)
    assert len(asked) == 1


@pytest.mark.usefixtures("active_bundle")
def test_an_explanation_is_asked_for_and_laid_over(
    clinic: Installation, browser: Browser, make: Any
) -> None:
    case, doctor = make.case(), browser("doctor")
    [image] = doctor.post(f"/cases/{case}/upload", files=given(1), headers=JSON).json()["added"]
    Analyst(Loop(clinic, "w", threading.Event())).step()

    def ask(method: str = "occlusion", who: TestClient = doctor) -> Any:
        return who.post(f"/images/{image}/explain", data={"method": method}, headers=JSON)

    address = f"/images/{image}/overlay/occlusion"
    assert ask().json() == {"state": "waits"}
    assert doctor.get(address).status_code == 404
    Explainer(Loop(clinic, "e", threading.Event())).step()
    said = ask().json()
    assert said["state"] == "ready" and said["title"] == "Occlusion" and said["target"] in "abc"
    assert said["overlay"] == address
    answer = doctor.get(address)
    assert answer.headers["content-type"] == "image/png"
    layer = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert layer.shape == (40, 60, 4)
    assert ask("eigen_cam").status_code == 404
    assert ask(who=browser("doctor_two")).status_code == 404
    assert ask(who=browser("director")).status_code == 403
    with clinic.writing() as db:
        db.get_one(Case, case).blind = True
    hidden = ask()
    assert hidden.status_code == 403 and "hidden until your own reading" in hidden.json()["what"]
    assert doctor.get(address).status_code == 403
    with clinic.reading() as db:
        assert not queue.waits(db, "explanation")


def test_the_page_of_a_case_offers_the_upload(browser: Browser, make: Any) -> None:
    page = browser("doctor").get(f"/cases/{make.case()}").text
    assert "data-upload" in page and "/static/upload.js" in page
    assert "data-upload" not in browser("doctor").get(f"/cases/{make.case(status='final')}").text
