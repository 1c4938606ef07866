"""Figures and agreement against counts by hand and closed forms; nothing of other sites."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import insert, select, text

from cytolens.clinic import clock
from cytolens.clinic.errors import NotAllowed, Refused
from cytolens.clinic.installation import Installation
from cytolens.clinic.oversight import exports
from cytolens.clinic.oversight.agreement import agreement, kappa
from cytolens.clinic.oversight.figures import figures, turnaround
from cytolens.clinic.oversight.period import Period, begin, month, period
from cytolens.clinic.oversight.signed import signed_cases
from cytolens.clinic.tables import Case, Entry, Finding, Image, Patient, Reading, Report, Site

sys.path.append(str(Path(__file__).parent))
from signed_case import sign

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)  # a Wednesday
NOVEMBER = Period(date(2026, 11, 1), date(2026, 11, 30))


def test_periods() -> None:
    assert begin(NOON.date(), "week") == date(2026, 11, 9)
    assert NOVEMBER.steps("week")[0] == date(2026, 10, 26)
    assert len(NOVEMBER.steps("week")) == 6
    assert NOVEMBER.steps("month") == [date(2026, 11, 1)]
    assert len(NOVEMBER.steps("day")) == 30
    assert month("2026-11") == NOVEMBER and month("2026-12").last == date(2026, 12, 31)
    with pytest.raises(Refused, match="ends before it begins"):
        Period(date(2026, 2, 2), date(2026, 2, 1))
    with pytest.raises(Refused, match="no month"):
        month("2026-13")
    with pytest.raises(Refused, match="'hour' is no step"):
        NOVEMBER.steps("hour")
    with pytest.raises(Refused, match="too many steps"):
        Period(date(2024, 1, 1), date(2026, 1, 1)).steps("day")
    assert (period().last - period().first).days == 89


def test_volumes_turnaround_and_classes(clinic: Installation, people: Any, make: Any) -> None:
    hours = [10.0, 20.0, 30.0, 40.0]
    for place, taken in enumerate(hours):
        case = make.case()
        make.image(case)
        category = "NILM" if place else "HSIL"
        sign(clinic, people, case, category, NOON + timedelta(days=7 * (place // 2)), hours=taken)
    elsewhere = make.case("two")
    sign(clinic, people, elsewhere, "NILM", NOON)
    blood = make.case(specimen="blood-smear")
    sign(clinic, people, blood, "OLD-CODE", NOON, hours=50, decision=None, verdict="inconclusive")
    make.case(specimen="blood-smear")  # open, received now
    with clinic.reading() as db:
        found = figures(db, people.actors["director"], NOVEMBER, "week")
        cervix = figures(db, people.actors["director"], NOVEMBER, "day", "cervix-liquid")
    assert found.total.signed == 5
    assert found.turnaround.median == 30.0
    assert found.turnaround.ninth == pytest.approx(46.0)  # linear: 40 + .6 · 10
    assert cervix.turnaround.median == 25.0 and cervix.total.signed == 4
    by_week = dict(zip(found.steps, found.volumes, strict=True))
    assert by_week[date(2026, 11, 9)].signed == 3 and by_week[date(2026, 11, 16)].signed == 2
    assert sum(volume.images for volume in found.volumes) == 4
    shares = {share.category: share for share in found.classes["cervix-liquid"]}
    assert (shares["NILM"].count, shares["NILM"].share) == (3, 0.75)
    assert shares["LSIL"].count == 0
    assert [s.category for s in found.classes["blood-smear"] if s.count] == ["OLD-CODE"]


def test_an_amendment_counts_once_with_its_own_category(
    clinic: Installation, people: Any, make: Any
) -> None:
    case = make.case()
    sign(clinic, people, case, "NILM", NOON, hours=5)
    sign(clinic, people, case, "LSIL", NOON + timedelta(days=30), verdict="upgrade")
    with clinic.reading() as db:
        [signed] = signed_cases(db, people.actors["director"], NOVEMBER)
        later = signed_cases(db, people.actors["director"], month("2026-12"))
    assert (signed.category, signed.hours, signed.kind) == ("LSIL", 5.0, "abnormal")
    assert later == []


def test_open_cases_by_age(
    clinic: Installation, people: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)
    for days in (0.5, 1, 2, 6, 13.9, 14.1, 100):
        case = make.case()
        with clinic.writing() as db:
            db.get_one(Case, case).received_at = NOON - timedelta(days=days)
    with clinic.reading() as db:
        found = figures(db, people.actors["director"], NOVEMBER)
    assert found.open_ages == [2, 1, 1, 1, 2]
    assert found.oldest == NOON - timedelta(days=100)


def test_turnaround_of_nothing() -> None:
    assert turnaround([]).median is None


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    doctor, system = drawn.random(200) < 0.3, drawn.random(200) < 0.4
    system = np.where(drawn.random(200) < 0.6, doctor, system)
    found = kappa(doctor, system, np.arange(200) // 2)
    assert found.value == pytest.approx(cohen_kappa_score(doctor, system))
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    assert found.agreed == int((doctor == system).sum())


def test_the_interval_is_that_of_drawing_patients_by_hand() -> None:
    drawn = np.random.default_rng(3)
    doctor = np.repeat(drawn.random(80) < 0.5, 3)
    system = np.where(drawn.random(240) < 0.8, doctor, ~doctor)
    units = np.repeat(np.arange(80), 3)
    found = kappa(doctor, system, units)
    values = []
    for _ in range(2000):
        rows = (drawn.integers(80, size=80)[:, None] * 3 + np.arange(3)).ravel()
        values.append(cohen_kappa_score(doctor[rows], system[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_kappa_where_it_says_nothing() -> None:
    assert kappa([], [], []).value is None
    alone = kappa([False, False], [False, True], [1, 2])
    assert (alone.value, alone.n, alone.agreed) == (None, 2, 1)
    one = kappa([True, False], [True, False], [1, 1])
    assert (one.value, one.low) == (1.0, None)  # one patient: no interval


def test_agreement(clinic: Installation, people: Any, make: Any) -> None:
    stories = [  # category, decision, verdict, doctor, blind
        ("NILM", "clear", "agree", "doctor", True),
        ("HSIL", "clear", "upgrade", "doctor", True),
        ("HSIL", "abnormal", "agree", "second_doctor", False),
        ("NILM", "abnormal", "downgrade", "second_doctor", False),
        ("LSIL", "refer", "inconclusive", "doctor", False),
        ("UNSAT", "clear", "inconclusive", "doctor", False),
        ("NILM", None, "inconclusive", "doctor", False),
    ]
    for place, (category, decision, verdict, doctor, blind) in enumerate(stories):
        sign(
            clinic, people, make.case(), category, NOON + timedelta(hours=place),
            decision=decision, verdict=verdict, doctor=doctor, blind=blind,
        )  # fmt: skip
    with clinic.reading() as db:
        found = agreement(db, people.actors["director"], NOVEMBER)
    assert found.confusion == [[1, 1, 1], [1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert (found.kappa.n, found.kappa.agreed, found.kappa.value) == (4, 2, 0.0)
    assert found.blind.n == 2
    assert found.verdicts == {"agree": 2, "upgrade": 1, "downgrade": 1, "inconclusive": 3}
    assert [case.category for case in found.overrides] == ["NILM", "HSIL"]
    assert {d.username: d.signed for d in found.doctors} == {"doctor": 5, "second_doctor": 2}


def test_nobody_else_sees_figures(clinic: Installation, people: Any) -> None:
    for name in ("doctor", "administrator"):
        with clinic.reading() as db, pytest.raises(NotAllowed):
            figures(db, people.actors[name], NOVEMBER)
        with clinic.reading() as db, pytest.raises(NotAllowed):
            agreement(db, people.actors[name], NOVEMBER)
        with pytest.raises(NotAllowed):
            exports.collect(clinic, people.actors[name], NOVEMBER, "week", "", "csv")


def test_the_page_and_its_exports_name_no_patient(
    clinic: Installation,
    people: Any,
    make: Any,
    browser: Callable[[str | None], TestClient],
    pass_time: Callable[..., None],
) -> None:
    case = make.case()
    make.image(case, make.model(), 0.9)
    sign(clinic, people, case, "NILM", clock.now(), decision="abnormal", verdict="downgrade")
    client = browser("director")
    shown = client.get("/figures").text
    assert "ONE-0001" in shown and "<svg" in shown and "Overrides" in shown
    assert 'style="' not in shown
    sign(clinic, people, make.case(), "HSIL", clock.now())
    assert client.get("/figures").text == shown  # remembered for some minutes
    pass_time(minutes=6)
    assert "As of" in shown and client.get("/figures").text != shown
    empty = client.get("/figures?since=2020-01-01&until=2020-02-01&by=day&specimen=blood-smear")
    assert empty.status_code == 200 and "Nothing was signed" in empty.text
    table = client.get("/figures/export.csv?by=month")
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(table.content.decode("utf-8-sig"))))
    assert rows[0] == ["Table", "Row", "Column", "Value"]
    assert ["Overrides", "ONE-0001", "Verdict", "Downgraded"] in rows
    document = client.get("/figures/export.pdf")
    assert document.content.startswith(b"%PDF-")
    for said in (shown, table.text):
        assert "Family" not in said and "Given" not in said
    with clinic.reading() as db:
        lines = db.scalars(select(Entry).where(Entry.action == "figures.exported")).all()
    assert [line.details["format"] for line in lines] == ["csv", "pdf"]


def test_the_pdf_shows_any_name(clinic: Installation, people: Any, make: Any) -> None:
    """PDF/A refuses characters without a glyph: they stand as their code points."""
    case = make.case()
    with clinic.writing() as db:
        db.get_one(Site, people.sites["one"]).name = "\N{MICROSCOPE} 検査室 \ue000 #strong[x] $y$"
        db.get_one(Case, case).accession = "\N{MICROSCOPE}-1"
    sign(clinic, people, case, "HSIL", NOON, decision="clear", verdict="upgrade")
    told = exports.collect(clinic, people.actors["director"], NOVEMBER, "week", "", "pdf")
    assert exports.as_pdf(told, str, "es").startswith(b"%PDF-")


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-02-30", "since=2026-02-02&until=2026-02-01", "by=hour", "specimen=skin",
        "since=0001-01-01", "since=2020-01-01&by=day",
    ],
)  # fmt: skip
def test_what_an_address_asks_for_wrongly(
    browser: Callable[[str | None], TestClient], query: str
) -> None:
    assert browser("director").get(f"/figures?{query}").status_code == 422


@pytest.mark.slow
def test_five_thousand_cases_are_quick(clinic: Installation, people: Any, make: Any) -> None:
    """5,000 cases with 100,000 images: a fraction of a second for each page's content."""
    from cytolens.clinic.oversight.drift import drift

    model, cases, images = make.model(), 5000, 20
    drawn = np.random.default_rng(0)
    now = clock.now()
    with clinic.writing() as db:
        site = people.sites["one"]
        patient = Patient(site_id=site, number="P", family_name="F", created_at=now)
        db.add(patient)
        db.flush()
        at = [now - timedelta(minutes=25 * n) for n in range(cases)]
        db.execute(
            insert(Case),
            [
                {
                    "id": n + 1, "site_id": site, "patient_id": patient.id, "accession": f"A{n}",
                    "specimen": "cervix-liquid", "received_at": at[n], "created_at": at[n],
                    "status": "final", "images_count": images, "signed_at": at[n],
                    "indicators": [], "revision": 1,
                }
                for n in range(cases)
            ],
        )  # fmt: skip
        db.execute(
            insert(Reading),
            [
                {
                    "id": n + 1, "case_id": n + 1, "doctor_id": people.users["doctor"],
                    "category": "NILM" if n % 5 else "HSIL", "verdict": "agree", "blind": False,
                    "decision": "clear" if n % 4 else "abnormal", "created_at": at[n],
                }
                for n in range(cases)
            ],
        )  # fmt: skip
        content = {"filler": "x" * 4000}
        db.execute(
            insert(Report),
            [
                {
                    "case_id": n + 1, "version": 1, "status": "final", "reading_id": n + 1,
                    "content": content, "content_sha256": "0" * 64, "pdf": "0" * 64,
                    "bundles": [], "created_at": at[n],
                }
                for n in range(cases)
            ],
        )  # fmt: skip
        rows = range(cases * images)
        db.execute(
            insert(Image),
            [
                {
                    "id": n + 1, "case_id": n // images + 1, "sha256": f"{n:064x}",
                    "thumbnail": "0" * 64, "name": "a", "width": 1, "height": 1,
                    "uploaded_at": now,
                }
                for n in rows
            ],
        )  # fmt: skip
        risks = drawn.random(len(rows))
        db.execute(
            insert(Finding),
            [
                {
                    "image_id": n + 1, "model_id": model, "label": "a", "probabilities": {},
                    "inside": [], "decision": "clear", "reasons": [], "strangeness": 0.5,
                    "risk": float(risks[n]), "problem": "", "created_at": at[n // images],
                }
                for n in rows
            ],
        )  # fmt: skip
    if not clinic.database.is_sqlite:
        with clinic.database.engine.begin() as connection:
            connection.execute(text("ANALYZE"))  # as PostgreSQL does by itself within a minute
    whole = Period((now - timedelta(days=90)).date(), now.date())
    taken = {}
    with clinic.reading() as db:
        for name, work in {
            "figures": lambda: figures(db, people.actors["director"], whole),
            "agreement": lambda: agreement(db, people.actors["director"], whole),
            "drift": lambda: drift(db, people.actors["director"], whole),
        }.items():
            began = time.perf_counter()
            assert work()
            taken[name] = time.perf_counter() - began
    print(clinic.database.engine.dialect.name, taken)  # noqa: T201
    assert max(taken.values()) < 5
    assert math.isfinite(sum(taken.values()))
