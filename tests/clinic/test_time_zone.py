"""Times and days of a laboratory in Peru, numbers of a region; kept are moments in UTC."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydicom
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from typer.testing import CliRunner

from cytolens.clinic import clock, days, trail
from cytolens.clinic.desk import cases, patients, readings, signing
from cytolens.clinic.desk.cases import Details
from cytolens.clinic.documents.changes import changes
from cytolens.clinic.documents.compose import compose
from cytolens.clinic.documents.content import ReportContent
from cytolens.clinic.documents.dicom import dicom
from cytolens.clinic.documents.fhir import fhir
from cytolens.clinic.documents.layout import layout
from cytolens.clinic.errors import Refused
from cytolens.clinic.installation import Installation, open_installation
from cytolens.clinic.locales import locale_of
from cytolens.clinic.oversight import quality
from cytolens.clinic.oversight.drift import drift
from cytolens.clinic.oversight.exports import as_csv, as_pdf, collect
from cytolens.clinic.oversight.figures import figures
from cytolens.clinic.oversight.period import Period, month, period
from cytolens.clinic.serving import Exposure, check
from cytolens.clinic.settings import Settings
from cytolens.clinic.tables import Case, Entry, Report, User
from cytolens.clinic.web.render import environment
from cytolens.core.errors import InputError

LIMA = ZoneInfo("America/Lima")  # UTC-5 all the year
LATE = datetime(2026, 12, 1, 4, 30, tzinfo=UTC)  # 30 November, 23:30 in Lima
LAST = date(2026, 11, 30)
Browser = Callable[[str | None], TestClient]


@pytest.fixture
def clinic(clinic: Installation) -> Iterator[Installation]:
    """The same installation, opened in Lima."""
    settings = dataclasses.replace(clinic.settings, time_zone="America/Lima", region="PE")
    opened = open_installation(settings)
    yield opened
    opened.close()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """It is half past eleven at night in Lima, and tomorrow in UTC."""
    monkeypatch.setattr(clock, "now", lambda: LATE)
    monkeypatch.setattr(trail, "now", lambda: LATE)
    return LATE


@pytest.fixture
def signed(
    clinic: Installation, people: Any, make: Any, with_passwords: str, late: datetime
) -> Report:
    """A case that was received, read and signed at that time."""
    del late
    case, doctor = make.case(), people.actors["doctor"]
    make.image(case, make.model(), 0.1)
    with clinic.writing() as db:
        revision = db.get_one(Case, case).revision
        readings.enter(db, doctor, case, "primary", "NILM", "", "", revision)
    with clinic.reading() as db:
        revision = db.get_one(Case, case).revision
    return signing.sign(clinic, doctor, case, with_passwords, revision)


@pytest.mark.parametrize("name", ["Lima", "", "../../etc/passwd", "America", "pst"])
def test_an_unknown_zone_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no time zone") as refused:
        check(Settings(tmp_path, time_zone=name), Exposure())
    assert "America/Lima" in str(refused.value)


def test_a_slip_is_guessed_and_a_region_is_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean America/Lima"):
        check(Settings(tmp_path, time_zone="America/Lime"), Exposure())
    with pytest.raises(InputError, match="no region 'Peru'"):
        check(Settings(tmp_path, region="Peru"), Exposure())
    check(Settings(tmp_path, time_zone="America/Lima", region="pe"), Exposure())
    assert Settings(tmp_path).zone is UTC


def test_the_command_takes_zone_and_region_from_the_environment(tmp_path: Path) -> None:
    from cytolens.cli.main import app

    for variable, said in {
        "CYTOLENS_CLINIC_TIME_ZONE": "There is no time zone 'X/Y'",
        "CYTOLENS_CLINIC_REGION": "There is no region 'X/Y'",
    }.items():
        given = ["serve", "--data", str(tmp_path / "data")]
        result = CliRunner().invoke(app, given, env={variable: "X/Y"})
        assert said in str(result.exception)
        assert not (tmp_path / "data").exists()


def test_where_days_begin() -> None:
    assert days.start(LAST, LIMA) == datetime(2026, 11, 30, 5, tzinfo=UTC)
    assert days.end(LAST, LIMA) == datetime(2026, 12, 1, 5, tzinfo=UTC)
    assert days.day_of(LATE, LIMA) == LAST and days.day_of(LATE, UTC) == date(2026, 12, 1)
    santiago = ZoneInfo("America/Santiago")  # 2024-09-08 begins at 01:00, clocks are set on
    assert days.start(date(2024, 9, 8), santiago) == datetime(2024, 9, 8, 4, tzinfo=UTC)
    newfoundland = ZoneInfo("America/St_Johns")  # 2010-11-07: after 00:00 came 23:01 once more
    first = Period(date(2010, 11, 7), date(2010, 11, 7), newfoundland)
    inside = first.start + timedelta(minutes=30)
    assert days.day_of(inside, newfoundland) == date(2010, 11, 6)
    assert first.day(inside) == date(2010, 11, 7)


@pytest.mark.parametrize(
    ("zone", "year", "said"),
    [
        ("UTC", 2026, "UTC"),
        ("Europe/London", 2026, "UTC"),
        ("America/Lima", 2026, "UTC\N{MINUS SIGN}5"),
        ("Asia/Kolkata", 2026, "UTC+5:30"),
        ("America/St_Johns", 2026, "UTC\N{MINUS SIGN}3:30"),
        ("America/Lima", 1880, "UTC\N{MINUS SIGN}5:09"),  # -5:08:12, to a whole minute
    ],
)
def test_offsets_are_said(zone: str, year: int, said: str) -> None:
    here = days.here(datetime(year, 1, 15, 12, tzinfo=UTC), ZoneInfo(zone))
    assert days.offset(here) == said
    assert here == datetime(year, 1, 15, 12, tzinfo=UTC)


def test_a_case_signed_before_midnight_counts_on_that_day(
    clinic: Installation, people: Any, signed: Report
) -> None:
    director = people.actors["director"]
    with clinic.reading() as db:
        today = figures(db, director, Period(LAST, LAST, LIMA), "day")
        tomorrow = figures(db, director, Period(LAST + timedelta(1), LAST + timedelta(1), LIMA))
        usual = figures(db, director, period(None, None, LIMA), "month")
        november = quality.states(db, director, "2026-11")
        december = quality.states(db, director, "2026-12")
        weeks = drift(db, director, Period(date(2026, 11, 1), LAST, LIMA))[0].weeks
        stored = db.get_one(Report, signed.id).created_at
    assert stored == LATE and stored.utcoffset() == timedelta(0)
    assert today.volumes[0].signed == today.volumes[0].received == 1
    assert tomorrow.total.signed == tomorrow.total.received == 0
    assert usual.period.last == LAST and usual.volumes[-1].signed == 1
    assert [one.cleared for one in november + december] == [1, 0]
    assert [(week.start, week.images) for week in weeks] == [(date(2026, 11, 30), 1)]


def test_the_month_of_the_sample_begins_at_midnight(
    clinic: Installation, people: Any, signed: Report
) -> None:
    del signed
    with clinic.writing() as db, pytest.raises(Refused, match="2026-12 has not begun"):
        quality.draw(db, people.actors["director"], "2026-12")
    assert month("2026-11", LIMA).end == datetime(2026, 12, 1, 5, tzinfo=UTC)


def test_a_case_belongs_to_the_year_and_day_of_the_laboratory(
    clinic: Installation, people: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2027, 1, 1, 3, tzinfo=UTC))
    doctor, known = people.actors["doctor"], make.case()
    with clinic.writing() as db:
        patient = db.get_one(Case, known).patient_id
        opened = cases.open_case(
            db, doctor, patient, "cervix-liquid", details=Details(collected_on=date(2026, 12, 31))
        )
        assert opened.accession == "ONE-2026-00001"
        tomorrow = Details(collected_on=date(2027, 1, 1))  # it is, in UTC
        with pytest.raises(Refused, match="day of collection: 2027-01-01 cannot be"):
            cases.open_case(db, doctor, patient, "cervix-liquid", details=tomorrow)
        born = patients.Identity("77", "García", "", date(2027, 1, 1), "female")
        with pytest.raises(Refused, match="date of birth: 2027-01-01 cannot be"):
            patients.create(db, doctor, people.sites["one"], born)


def test_a_day_of_receipt_is_noon_there_and_today_is_now(
    clinic: Installation, make: Any, browser: Browser, late: datetime
) -> None:
    doctor, known = browser("doctor"), make.case()
    with clinic.reading() as db:
        patient = db.get_one(Case, known).patient_id
    received = {"2026-11-29": datetime(2026, 11, 29, 17, tzinfo=UTC), "2026-11-30": late}
    for day, at in received.items():
        sent = {"patient": patient, "specimen": "cervix-liquid", "received_on": day}
        answer = doctor.post("/cases/new", data=sent)
        assert answer.status_code == 303, answer.text
        with clinic.reading() as db:
            case = int(answer.headers["Location"].split("/")[2].partition("?")[0])
            assert db.get_one(Case, case).received_at == at
    for day in ("2026-12-01", "1849-12-31", "20x6-01-01"):
        sent = {"patient": patient, "specimen": "cervix-liquid", "received_on": day}
        assert doctor.post("/cases/new", data=sent).status_code == 422


def test_pages_show_the_zone_and_the_regions_numbers(
    clinic: Installation, people: Any, signed: Report, browser: Browser
) -> None:
    shown = "30 Nov 2026, 23:30\N{NO-BREAK SPACE}UTC\N{MINUS SIGN}5"
    page = browser("doctor").get(f"/cases/{signed.case_id}").text
    assert f'<time datetime="2026-12-01T04:30:00Z">{shown}</time>' in page
    listed = browser("doctor").get("/worklist?status=signed").text
    assert f'<time datetime="2026-12-01T04:30:00Z" title="{shown}">' in listed
    with clinic.writing() as db:
        db.get_one(User, people.users["director"]).language = "es"
    found = browser("director").get("/figures").text
    assert 'value="2026-11-30"' in found and "America/Lima" in found
    assert "100.0\N{NO-BREAK SPACE}%" in found or "100.0 %" in found
    audit = browser("administrator").get("/audit?since=2026-11-30&until=2026-11-30").text
    assert '<td lang="en">report.signed</td>' in audit and shown in audit
    after = browser("administrator").get("/audit?since=2026-12-01").text
    assert '<td lang="en">report.signed</td>' not in after
    wrong = browser("administrator").get("/audit?since=2026-13-01")
    assert wrong.status_code == 422 and "is no day" in wrong.text


@pytest.mark.parametrize(
    ("language", "region", "said"),
    [
        ("en", "", "0.5 12.5 % 1,234.5"),
        ("es", "", "0,5 12,5 % 1.234,5"),
        ("es", "PE", "0.5 12.5 % 1,234.5"),
        ("es", "pe", "0.5 12.5 % 1,234.5"),
        ("es", "JP", "0,5 12,5 % 1.234,5"),  # no Spanish of Japan: the language's own
        ("en", "PE", "0.5 12.5 % 1,234.5"),
    ],
)
def test_numbers_are_written_as_in_the_region(language: str, region: str, said: str) -> None:
    words = environment(language, UTC, region)
    text = "{{ 0.5 | number }} {{ 0.125 | percent }} {{ 1234.5 | number }}"
    assert words.from_string(text).render().replace("\N{NO-BREAK SPACE}", " ") == said
    even = words.from_string("{{ 0.5 | number(2) }} {{ 12 | number(0) }}").render()
    assert even == f"{said[:3]}0 12"


def test_steps_of_figures_cannot_be_misread() -> None:
    text = "{{ d | step('day') }}, {{ d | step('week') }}, {{ d | step('month') }}"
    found = environment("en", LIMA).from_string(text).render(d=date(2026, 9, 3))
    assert found == "3 Sep, 3 Sep, Sep 2026"


def test_documents_carry_the_offset(clinic: Installation, signed: Report) -> None:
    content = ReportContent.from_json(signed.content)
    assert content.doctor.signed_at == "2026-11-30T23:30:00-05:00"
    assert content.specimen.received_at.endswith("-05:00")
    assert content.specimen.opened_at.endswith("+00:00")  # names the case for good
    assert content.region == "PE"
    report = fhir(content)["entry"][0]["resource"]
    assert report["issued"] == "2026-11-30T23:30:00-05:00"
    told = json.dumps(layout(content, "es"), ensure_ascii=False)
    assert "30 de noviembre de 2026, 23:30\N{NO-BREAK SPACE}UTC\N{MINUS SIGN}5" in told
    assert "10 %" in told.replace("\N{NO-BREAK SPACE}", " ")
    picture = content.pictures[0]
    made = pydicom.dcmread(io.BytesIO(dicom(content, picture, clinic.blobs.get(picture.sha256))))
    assert made.TimezoneOffsetFromUTC == "-0500"
    assert (made.ContentDate, made.ContentTime) == ("20261130", "233000")
    assert made.StudyDate == "20261130"
    stamped = made.ContributingEquipmentSequence[0].ContributionDateTime
    assert str(stamped) == "20261130233000-0500"


def test_another_zone_changes_no_case(clinic: Installation, people: Any, signed: Report) -> None:
    before = ReportContent.from_json(signed.content)
    moved = open_installation(dataclasses.replace(clinic.settings, time_zone="Europe/Madrid"))
    with moved.reading() as db:
        case = db.get_one(Case, signed.case_id)
        after = compose(
            db, case, case.readings[-1], db.get_one(User, people.users["doctor"]),
            status="amended", version=2, at=LATE, language="en", before=before, reason="r",
        )  # fmt: skip
    moved.close()
    assert after.specimen.received_at == "2026-12-01T05:30:00+01:00"
    assert after.changes == () == changes(before, after)
    later = dataclasses.replace(
        after, specimen=dataclasses.replace(after.specimen, received_at="2026-12-01T05:31:00+01:00")
    )
    assert [one.field for one in changes(before, later)] == ["Received"]
    assert fhir(before)["entry"][1]["fullUrl"] == fhir(after)["entry"][1]["fullUrl"]


def test_exports_say_the_zone(clinic: Installation, people: Any, signed: Report) -> None:
    del signed
    told = collect(clinic, people.actors["director"], Period(LAST, LAST, LIMA), "day", "", "csv")
    rows = list(csv.reader(io.StringIO(as_csv(told, str))))
    said = {row[1]: row[3] for row in rows if row[0] == "Period"}
    assert said == {
        "From": "2026-11-30", "To": "2026-11-30", "Time zone": "America/Lima",
        "As of": "2026-11-30 23:30-05:00",
    }  # fmt: skip
    assert as_pdf(told, str, "es", "PE").startswith(b"%PDF")
    with clinic.reading() as db:
        line = db.scalars(select(Entry).where(Entry.action == "figures.exported")).one()
        assert (line.details["zone"], line.at) == ("America/Lima", LATE)


def test_the_machine_interface_has_utc_and_says_whose_days(
    people: Any, machine: Callable[..., TestClient], signed: Report
) -> None:
    del people
    program = machine("director")
    found = program.get("/api/v1/figures", params={"by": "day"}).json()
    assert found["last"] == "2026-11-30" and found["total"]["signed"] == 1
    assert found["at"] == "2026-12-01T04:30:00Z"
    case = machine("doctor").get(f"/api/v1/cases/{signed.case_id}").json()
    assert case["received_at"] == "2026-12-01T04:30:00Z"
    described = program.get("/api/v1/openapi.json").json()["info"]["description"]
    assert "time zone America/Lima" in " ".join(described.split())


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_language_alone_has_its_own_ways(language: str) -> None:
    assert locale_of(language, "") == language
