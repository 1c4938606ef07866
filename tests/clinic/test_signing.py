"""Reports: who may make which version, that nothing is lost or changed, how they are fetched."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable
from typing import Any

import pydicom
import pyotp
import pytest
from fastapi.testclient import TestClient
from fhir.resources.bundle import Bundle
from sqlalchemy import func, select
from tests.clinic.conftest import Maker, People
from tests.clinic.report_samples import overlay_png
from tests.clinic.tampering import unguarded

from cytolens.clinic import clock
from cytolens.clinic.accounts import second_factor
from cytolens.clinic.actor import Actor
from cytolens.clinic.blobs import BlobProblem
from cytolens.clinic.desk import readings, reports, signing
from cytolens.clinic.desk.sign_view import sign_view
from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.errors import Conflict, NotAllowed, NotFound, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import (
    Case,
    Entry,
    Image,
    Overlay,
    Patient,
    QualityDraw,
    Reading,
    Report,
)

Browser = Callable[[str | None], TestClient]


@pytest.fixture
def case(clinic: Installation, people: People, make: Maker, with_passwords: str) -> int:
    """A case with two findings, read by the doctor."""
    del with_passwords
    made = make.case(adequacy="satisfactory")
    model = make.model()
    make.image(made, model, 0.9)
    make.image(made, model, 0.2)
    _read(clinic, people.actors["doctor"], made)
    return made


def _revision(clinic: Installation, case_id: int) -> int:
    with clinic.reading() as db:
        return db.get_one(Case, case_id).revision


def _read(
    clinic: Installation, actor: Actor, case_id: int, category: str = "HSIL", **more: Any
) -> None:
    revision = _revision(clinic, case_id)
    with clinic.writing() as db:
        readings.enter(db, actor, case_id, "primary", category, "", "A comment", revision, **more)


def _sign(clinic: Installation, actor: Actor, case_id: int, password: str, **more: Any) -> Report:
    revision = more.pop("revision", None) or _revision(clinic, case_id)
    return signing.sign(clinic, actor, case_id, password, revision, **more)


def _versions(clinic: Installation, case_id: int) -> list[tuple[Any, ...]]:
    with clinic.reading() as db:
        rows = db.scalars(select(Report).where(Report.case_id == case_id).order_by(Report.version))
        return [
            (r.version, r.status, r.content_sha256, r.pdf, json.dumps(r.content), r.created_at)
            for r in rows
        ]


def _lines(clinic: Installation, action: str) -> list[Entry]:
    with clinic.reading() as db:
        found = list(db.scalars(select(Entry).where(Entry.action == action).order_by(Entry.id)))
        db.expunge_all()
        return found


def test_from_draft_to_amendment(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    drafted = signing.draft(clinic, doctor, case)
    assert (drafted.version, drafted.status, drafted.signed_by) == (1, "preliminary", None)
    signed = _sign(clinic, doctor, case, with_passwords)
    assert (signed.version, signed.status) == (2, "final")
    assert signed.signed_by == people.users["doctor"]
    assert signed.bundles == ["0123456789ab"]
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.status, row.signed_at) == ("final", signed.created_at)
    kept = _versions(clinic, case)
    bytes_before = {sha256: clinic.blobs.get(sha256) for _, _, _, sha256, _, _ in kept}

    _read(clinic, doctor, case, "LSIL")
    amended = signing.amend(
        clinic, doctor, case, "Second look.", with_passwords, _revision(clinic, case)
    )
    assert (amended.version, amended.status, amended.reason) == (3, "amended", "Second look.")
    content = ReportContent.from_json(amended.content)
    assert content.before == signed.content_sha256
    assert [(one.field, one.before[:4], one.after[:4]) for one in content.changes] == [
        ("Category", "HSIL", "LSIL")
    ]
    after = _versions(clinic, case)
    assert after[:2] == kept  # the old ones stay as they were
    assert {sha256: clinic.blobs.get(sha256) for sha256 in bytes_before} == bytes_before
    assert len({sha256 for _, _, _, sha256, _, _ in after}) == 3
    for _, _, sha256, _, stored, _ in after:
        assert ReportContent.from_json(json.loads(stored)).sha256 == sha256
    with clinic.reading() as db:
        assert db.get_one(Case, case).status == "amended"


def test_each_version_is_in_the_audit_log(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    signing.draft(clinic, doctor, case)
    signed = _sign(clinic, doctor, case, with_passwords)
    signing.amend(clinic, doctor, case, "Why", with_passwords, _revision(clinic, case))
    (drafted,), (line,), (amended,) = (
        _lines(clinic, f"report.{name}") for name in ("drafted", "signed", "amended")
    )
    assert (drafted.details["version"], amended.details["version"]) == (1, 3)
    assert (line.kind, line.key, line.bundle) == ("report", str(signed.id), "0123456789ab")
    assert line.details == {
        "case": case,
        "version": 2,
        "content": signed.content_sha256,
        "pdf": signed.pdf,
        "bundles": ["0123456789ab"],
        "pending": 0,
    }
    assert "Family" not in json.dumps(line.details)


def test_a_wrong_password_signs_nothing(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor, revision = people.actors["doctor"], _revision(clinic, case)
    with pytest.raises(NotAllowed, match="The password is wrong"):
        signing.sign(clinic, doctor, case, "not it", revision)
    assert _versions(clinic, case) == []
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        assert (row.status, row.signed_at, row.revision) == ("preliminary", None, revision)
    [wrong] = _lines(clinic, "user.unconfirmed")
    assert (wrong.user_id, wrong.details["wrong"]) == (people.users["doctor"], "password")
    assert _lines(clinic, "report.signed") == []
    _sign(clinic, doctor, case, with_passwords)
    with pytest.raises(NotAllowed, match="The password is wrong"):
        signing.amend(clinic, doctor, case, "Why", "not it", _revision(clinic, case))
    assert len(_versions(clinic, case)) == 1


def test_a_second_factor_is_asked_for(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    offered = second_factor.offer(clinic, doctor)
    totp = pyotp.TOTP(offered.words.replace(" ", ""))
    recovery = second_factor.set_up(clinic, doctor, offered.sealed, totp.now(), with_passwords)
    with pytest.raises(NotAllowed, match="The code is wrong"):
        _sign(clinic, doctor, case, with_passwords)
    assert _versions(clinic, case) == []
    assert _sign(clinic, doctor, case, with_passwords, code=recovery[0]).status == "final"


def test_only_the_doctor_of_the_newest_reading_signs(
    clinic: Installation, people: People, make: Maker, case: int, with_passwords: str
) -> None:
    doctor, other = people.actors["doctor"], people.actors["second_doctor"]
    with pytest.raises(Conflict, match="The newest reading is Doctor's"):
        _sign(clinic, other, case, with_passwords)
    with pytest.raises(Conflict, match="a doctor signs the own one"):
        signing.draft(clinic, other, case)
    _read(clinic, other, case, "LSIL")
    with pytest.raises(Conflict, match="The newest reading is Second Doctor's"):
        _sign(clinic, doctor, case, with_passwords)
    unread = make.case()
    with pytest.raises(Conflict, match="was not read yet"):
        _sign(clinic, doctor, unread, with_passwords)
    signed = _sign(clinic, other, case, with_passwords)
    assert signed.content["diagnosis"]["category"]["code"] == "LSIL"
    assert signed.content["doctor"]["name"] == "Second Doctor"


def test_a_quality_reading_is_not_signed(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    with clinic.writing() as db:
        db.add(
            Reading(
                case_id=case,
                doctor_id=people.users["second_doctor"],
                kind="quality",
                category="NILM",
                verdict="agree",
                blind=True,
                created_at=clock.now(),
            )
        )
    signed = _sign(clinic, people.actors["doctor"], case, with_passwords)
    assert signed.content["diagnosis"]["category"]["code"] == "HSIL"


def test_images_without_a_finding_need_a_word(
    clinic: Installation, people: People, make: Maker, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    make.image(case)
    with pytest.raises(Refused, match="1 of 3 images still wait for their finding"):
        _sign(clinic, doctor, case, with_passwords)
    assert signing.draft(clinic, doctor, case).content["system"]["pending"] == 1
    signed = _sign(clinic, doctor, case, with_passwords, anyway=True)
    assert signed.content["system"]["pending"] == 1
    assert _lines(clinic, "report.signed")[0].details["pending"] == 1


def test_a_stale_revision_is_told(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor, old = people.actors["doctor"], _revision(clinic, case)
    _read(clinic, doctor, case, "LSIL")
    with pytest.raises(Conflict, match="changed since you looked at it"):
        _sign(clinic, doctor, case, with_passwords, revision=old)
    assert _versions(clinic, case) == []


def test_what_changes_while_the_document_is_made_is_told(
    clinic: Installation,
    people: People,
    case: int,
    with_passwords: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doctor, set_pdf = people.actors["doctor"], signing.pdf

    def meanwhile(*args: Any) -> bytes:
        with clinic.writing() as db:
            db.scalars(select(Patient)).one().family_name = "Another"
        return set_pdf(*args)

    monkeypatch.setattr(signing, "pdf", meanwhile)
    with pytest.raises(Conflict, match="changed while its report was made"):
        _sign(clinic, doctor, case, with_passwords)
    assert _versions(clinic, case) == []
    monkeypatch.setattr(signing, "pdf", set_pdf)
    assert _sign(clinic, doctor, case, with_passwords).content["patient"]["family_name"] == (
        "Another"
    )


def test_the_state_of_the_case_decides(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    with pytest.raises(Conflict, match="There is no signed report to amend"):
        signing.amend(clinic, doctor, case, "Why", with_passwords, _revision(clinic, case))
    _sign(clinic, doctor, case, with_passwords)
    with pytest.raises(Conflict, match="signed already"):
        _sign(clinic, doctor, case, with_passwords)
    with pytest.raises(Conflict, match="signed already"):
        signing.draft(clinic, doctor, case)
    for reason in ("", " \n "):
        with pytest.raises(Refused, match="The reason is missing"):
            signing.amend(clinic, doctor, case, reason, with_passwords, _revision(clinic, case))
    with pytest.raises(Refused, match="too long"):
        signing.amend(clinic, doctor, case, "a" * 2001, with_passwords, _revision(clinic, case))
    assert len(_versions(clinic, case)) == 1


@pytest.mark.parametrize("name, error", [
    ("doctor_two", NotFound), ("administrator", NotAllowed), ("director", NotAllowed),
])  # fmt: skip
def test_others_sign_and_fetch_nothing(
    clinic: Installation,
    people: People,
    case: int,
    with_passwords: str,
    name: str,
    error: type[Exception],
) -> None:
    actor = people.actors[name]
    signed = _sign(clinic, people.actors["doctor"], case, with_passwords)
    revision = _revision(clinic, case)
    for attempt in (
        lambda: signing.draft(clinic, actor, case),
        lambda: signing.sign(clinic, actor, case, with_passwords, revision),
        lambda: signing.amend(clinic, actor, case, "Why", with_passwords, revision),
        *(
            lambda form=form: reports.fetch(clinic, actor, signed.id, form)
            for form in reports.FORMS
        ),
    ):
        with pytest.raises(error):
            attempt()
    assert len(_versions(clinic, case)) == 1
    assert _lines(clinic, "report.fetched") == []


def test_two_sign_at_once_and_one_wins(
    clinic: Installation,
    people: People,
    case: int,
    with_passwords: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same doctor at two screens: both have read the case before either writes."""
    doctor, revision, set_pdf = people.actors["doctor"], _revision(clinic, case), signing.pdf
    both_read = threading.Barrier(2, timeout=30)

    def together(*args: Any) -> bytes:
        both_read.wait()
        return set_pdf(*args)

    monkeypatch.setattr(signing, "pdf", together)
    ended = _at_once(
        lambda: signing.sign(clinic, doctor, case, with_passwords, revision),
        lambda: signing.sign(clinic, doctor, case, with_passwords, revision),
    )
    assert sorted(ended) == ["Conflict", "Report"]
    assert [row[:2] for row in _versions(clinic, case)] == [(1, "final")]
    assert len(_lines(clinic, "report.signed")) == 1


def test_two_doctors_at_once_and_one_wins(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    """One signs; the other, who looked at the same revision, reads and signs."""
    doctor, other = people.actors["doctor"], people.actors["second_doctor"]
    revision, start = _revision(clinic, case), threading.Barrier(2, timeout=30)

    def first() -> Report:
        start.wait()
        return signing.sign(clinic, doctor, case, with_passwords, revision)

    def second() -> Report:
        start.wait()
        with clinic.writing() as db:
            readings.enter(db, other, case, "primary", "LSIL", "", "", revision)
        return signing.sign(clinic, other, case, with_passwords, _revision(clinic, case))

    ended = _at_once(first, second)
    assert sorted(ended) == ["Conflict", "Report"]
    (row,) = _versions(clinic, case)
    winner = ReportContent.from_json(json.loads(row[4]))
    assert winner.doctor.username == ("doctor" if ended[0] == "Report" else "second_doctor")


def _at_once(*actions: Callable[[], Report]) -> list[str]:
    """Return of each action, run at the same time, the type of what it returned or raised."""
    ended = [""] * len(actions)

    def run(place: int) -> None:
        try:
            ended[place] = type(actions[place]()).__name__
        except Exception as error:
            ended[place] = type(error).__name__

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ended


def test_a_version_cannot_be_changed(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    signed = _sign(clinic, people.actors["doctor"], case, with_passwords)
    with pytest.raises(AssertionError, match="version 1 of a report"), clinic.writing() as db:
        db.get_one(Report, signed.id).reason = "none"
    with pytest.raises(Conflict), clinic.writing() as db:
        db.add(
            Report(
                case_id=case, version=1, status="final", reading_id=signed.reading_id, content={},
                content_sha256="", pdf="", bundles=[], created_at=clock.now(),
            )
        )  # fmt: skip
    assert len(_versions(clinic, case)) == 1


def test_the_document_that_was_signed_is_fetched(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    signed = _sign(clinic, doctor, case, with_passwords)
    found = reports.fetch(clinic, people.actors["second_doctor"], signed.id, "pdf")
    assert hashlib.sha256(found.content).hexdigest() == signed.pdf
    assert (found.media_type, found.name) == ("application/pdf", "ONE-0001-v1.pdf")
    fhir = json.loads(reports.fetch(clinic, doctor, signed.id, "fhir").content)
    Bundle.model_validate(fhir)
    lines = _lines(clinic, "report.fetched")
    assert [(one.username, one.details["form"]) for one in lines] == [
        ("second_doctor", "pdf"),
        ("doctor", "fhir"),
    ]
    assert lines[0].details["content"] == signed.content_sha256


def test_pictures_are_fetched_as_dicom(
    clinic: Installation, people: People, make: Maker, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    with clinic.writing() as db:
        image = db.scalars(select(Image).order_by(Image.id)).first()
        assert image is not None and image.finding is not None
        db.add(
            Overlay(
                image_id=image.id,
                model_id=image.finding.model_id,
                method="grad_cam",
                target="abnormal",
                overlay=clinic.blobs.put(overlay_png()),
                raw="0" * 64,
                notes=[],
                created_at=clock.now(),
            )
        )
    signed = _sign(clinic, doctor, case, with_passwords)
    found = reports.fetch(clinic, doctor, signed.id, "dicom")
    assert (found.media_type, found.name) == ("application/zip", "ONE-0001-v1.dcm.zip")
    with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
        files = {
            name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()
        }
    assert list(files) == [
        "ONE-0001-v1-1.dcm", "ONE-0001-v1-1-explanation.dcm", "ONE-0001-v1-2.dcm",
    ]  # fmt: skip
    assert len({file.StudyInstanceUID for file in files.values()}) == 1
    assert len({file.SOPInstanceUID for file in files.values()}) == 3
    assert reports.fetch(clinic, doctor, signed.id, "dicom") == found

    alone = make.case()
    make.image(alone, signed_model(clinic), 0.9)
    _read(clinic, doctor, alone)
    one = _sign(clinic, doctor, alone, with_passwords)
    assert reports.fetch(clinic, doctor, one.id, "dicom").media_type == "application/dicom"
    bare = make.case()
    _read(clinic, doctor, bare, "UNSAT", anyway=True)
    none = _sign(clinic, doctor, bare, with_passwords)
    with pytest.raises(NotFound, match="has no pictures"):
        reports.fetch(clinic, doctor, none.id, "dicom")
    with clinic.writing() as db:
        for image in db.scalars(select(Image).where(Image.case_id == alone)):
            image.removed_at = clock.now()
    with pytest.raises(NotFound, match="no longer kept"):
        reports.fetch(clinic, doctor, one.id, "dicom")
    assert reports.fetch(clinic, doctor, one.id, "pdf").content.startswith(b"%PDF")


def signed_model(clinic: Installation) -> int:
    with clinic.reading() as db:
        image = db.scalars(select(Image)).first()
        assert image is not None and image.finding is not None
        return image.finding.model_id


def test_bytes_that_changed_are_never_handed_out(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor = people.actors["doctor"]
    signed = _sign(clinic, doctor, case, with_passwords)
    path = clinic.settings.data / "blobs" / signed.pdf[:2] / signed.pdf[2:4] / signed.pdf
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    for form in ("pdf", "fhir"):
        with pytest.raises(BlobProblem, match="report ONE-0001 is not what was signed.*changed"):
            reports.fetch(clinic, doctor, signed.id, form)
    path.unlink()
    with pytest.raises(BlobProblem, match="is missing"):
        reports.fetch(clinic, doctor, signed.id, "pdf")
    path.write_bytes(whole)
    table = Report.__table__
    content = signed.content | {"reason": "another"}
    with clinic.writing() as db, unguarded(db):
        db.execute(table.update().where(table.c.id == signed.id).values(content=content))
    with pytest.raises(BlobProblem, match="its content was changed in the database"):
        reports.fetch(clinic, doctor, signed.id, "pdf")
    assert _lines(clinic, "report.fetched") == []


def test_a_picture_that_changed_is_not_signed(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    with clinic.reading() as db:
        sha256 = db.scalars(select(Image.sha256)).first()
    assert sha256 is not None
    (clinic.settings.data / "blobs" / sha256[:2] / sha256[2:4] / sha256).write_bytes(b"other")
    with pytest.raises(BlobProblem, match="was changed after it was stored"):
        _sign(clinic, people.actors["doctor"], case, with_passwords)
    assert _versions(clinic, case) == []


def test_who_reads_blind_next_sees_no_report(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    doctor, other = people.actors["doctor"], people.actors["second_doctor"]
    signed = _sign(clinic, doctor, case, with_passwords)
    with clinic.writing() as db:
        db.add(QualityDraw(case_id=case, period="2026-11", drawn_at=clock.now()))
    with pytest.raises(NotAllowed, match="hidden until your own reading"):
        reports.fetch(clinic, other, signed.id, "pdf")
    with clinic.reading() as db:
        row = db.get_one(Case, case)
        hidden, shown = sign_view(db, other, row), sign_view(db, doctor, row)
    assert (hidden.hidden, hidden.obstacle, hidden.versions) == (True, "hidden", ())
    assert (hidden.category, hidden.decision, hidden.doctor) == (None, None, "")
    assert [one.version for one in shown.versions] == [1]
    assert reports.fetch(clinic, doctor, signed.id, "pdf").content.startswith(b"%PDF")


def test_what_would_be_signed_is_shown(
    clinic: Installation, people: People, make: Maker, case: int, with_passwords: str
) -> None:
    doctor, other = people.actors["doctor"], people.actors["second_doctor"]

    def seen(actor: Actor, case_id: int = case) -> Any:
        with clinic.reading() as db:
            return sign_view(db, actor, db.get_one(Case, case_id))

    first = seen(doctor)
    assert (first.obstacle, first.signed, first.newer, first.asks_code) == ("", False, True, False)
    assert first.category.code == "HSIL" and first.comment == "A comment"
    assert (first.images, first.pending, first.decision) == (2, 0, "abnormal")
    assert seen(other).obstacle == "other-reading"
    assert seen(doctor, make.case()).obstacle == "no-reading"
    assert seen(people.actors["administrator"]).obstacle == "no-right"
    _sign(clinic, doctor, case, with_passwords)
    after = seen(doctor)
    assert (after.signed, after.newer) == (True, False)
    assert (after.versions[0].signer, after.versions[0].status) == ("Doctor", "final")
    _read(clinic, other, case, "LSIL")
    assert seen(doctor).newer and seen(doctor).obstacle == "other-reading"


def test_a_case_is_signed_in_the_browser(
    clinic: Installation, browser: Browser, case: int, with_passwords: str
) -> None:
    doctor = browser("doctor")
    page = doctor.get(f"/cases/{case}").text
    assert f'action="/cases/{case}/sign"' in page and f'action="/cases/{case}/draft"' in page
    assert "not a diagnosis" in page
    drafted = doctor.post(f"/cases/{case}/draft")
    assert (drafted.status_code, drafted.headers["Location"]) == (
        303,
        f"/cases/{case}?done=preliminary#report",
    )
    form = {"password": with_passwords, "revision": _revision(clinic, case)}
    stale = doctor.post(f"/cases/{case}/sign", data=form | {"revision": 1})
    assert stale.status_code == 409
    assert "changed since you looked at it" in stale.text
    wrong = doctor.post(f"/cases/{case}/sign", data=form | {"password": "no"})
    assert wrong.status_code == 403 and "The password is wrong" in wrong.text
    assert with_passwords not in wrong.text + stale.text
    signed = doctor.post(f"/cases/{case}/sign", data=form)
    assert signed.headers["Location"] == f"/cases/{case}?done=signed#report"
    again = doctor.post(f"/cases/{case}/sign", data=form | {"revision": _revision(clinic, case)})
    assert again.status_code == 409 and "signed already" in again.text
    page = doctor.get(f"/cases/{case}").text
    assert f'action="/cases/{case}/amend"' in page and f'action="/cases/{case}/sign"' not in page
    form = {"password": with_passwords, "revision": _revision(clinic, case), "reason": "<b>Why</b>"}
    empty = doctor.post(f"/cases/{case}/amend", data=form | {"reason": ""})
    assert empty.status_code == 422 and "The reason is missing" in empty.text
    wrong = doctor.post(f"/cases/{case}/amend", data=form | {"password": "no"})
    assert wrong.status_code == 403 and "The password is wrong" in wrong.text
    assert "&lt;b&gt;Why&lt;/b&gt;</textarea>" in wrong.text  # what was typed is still there
    amended = doctor.post(f"/cases/{case}/amend", data=form)
    assert amended.headers["Location"] == f"/cases/{case}?done=amended#report"
    page = doctor.get(f"/cases/{case}").text
    assert "&lt;b&gt;Why&lt;/b&gt;" in page and "<b>Why" not in page
    assert [row[:2] for row in _versions(clinic, case)] == [
        (1, "preliminary"),
        (2, "final"),
        (3, "amended"),
    ]


def test_reports_are_fetched_in_the_browser(
    clinic: Installation, people: People, browser: Browser, case: int, with_passwords: str
) -> None:
    with clinic.writing() as db:
        db.get_one(Case, case).accession = 'A/1 "ü"\r\nX: y'
    signed = _sign(clinic, people.actors["doctor"], case, with_passwords)
    doctor = browser("doctor")
    for end, kind, name in (
        ("pdf", "application/pdf", "A_1_X_y-v1.pdf"),
        ("fhir.json", "application/fhir+json", "A_1_X_y-v1.fhir.json"),
        ("dcm", "application/zip", "A_1_X_y-v1.dcm.zip"),
    ):
        answer = doctor.get(f"/reports/{signed.id}.{end}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(kind)
        assert f'filename="{name}"' in answer.headers["Content-Disposition"]
        assert answer.headers["Cache-Control"] == "no-store"
        for other, status in (
            ("doctor_two", 404), ("administrator", 403), ("director", 403), (None, 303),
        ):  # fmt: skip
            assert browser(other).get(f"/reports/{signed.id}.{end}").status_code == status
        assert doctor.get(f"/reports/999999.{end}").status_code == 404
        assert doctor.get(f"/reports/{10**30}.{end}").status_code == 422  # no id at all
    assert len(_lines(clinic, "report.fetched")) == 3


def test_others_are_refused_in_the_browser(
    clinic: Installation, browser: Browser, case: int, with_passwords: str
) -> None:
    form = {"password": with_passwords, "revision": _revision(clinic, case), "reason": "Why"}
    for name, status in (("doctor_two", 404), ("administrator", 403), ("director", 403)):
        for what in ("draft", "sign", "amend"):
            answer = browser(name).post(f"/cases/{case}/{what}", data=form)
            assert answer.status_code == status, (name, what)
    with clinic.reading() as db:
        assert db.scalar(select(func.count()).select_from(Report)) == 0


def test_the_document_is_in_the_language_of_the_doctor(
    clinic: Installation, people: People, case: int, with_passwords: str
) -> None:
    from dataclasses import replace

    doctor = replace(people.actors["doctor"], language="es")
    signed = _sign(clinic, doctor, case, with_passwords)
    assert signed.content["language"] == "es"
