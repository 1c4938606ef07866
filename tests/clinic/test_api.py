"""A machine's day with a token: what it may do, see and send."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image as Pillow
from sqlalchemy import select
from tests.clinic.conftest import Maker, People
from tests.clinic.machines import V1, make_findings, picture, refused, said

from cytolens.clinic.installation import Installation
from cytolens.clinic.tables import Entry

Machine = Callable[..., TestClient]


@pytest.mark.usefixtures("active_bundle")
def test_from_a_patient_to_a_signed_report(
    clinic: Installation, machine: Machine, with_passwords: str
) -> None:
    program = machine("doctor")
    me = said(program.get(f"{V1}/me"))
    assert (me["username"], [site["code"] for site in me["sites"]]) == ("doctor", ["ONE"])
    assert "reports.sign" in me["actions"] and "users.manage" not in me["actions"]

    given = {"site": me["sites"][0]["id"], "number": "P-7", "family_name": "Ñandú"}
    patient = said(program.post(f"{V1}/patients", json=given | {"sex": "female"}), 201)["id"]
    found = said(program.get(f"{V1}/patients", params={"q": "nan"}))
    assert [row["id"] for row in found["rows"]] == [patient]

    opened = {"patient": patient, "specimen": "cervix-liquid", "assigned": me["id"]}
    case = said(program.post(f"{V1}/cases", json=opened), 201)["id"]
    files = [("files", (f"{seed}.png", picture(seed))) for seed in (1, 2)]
    taken = said(program.post(f"{V1}/cases/{case}/images", files=[*files, files[0]]))
    assert len(taken["added"]) == 2 and taken["known"] == ["1.png"]
    assert said(program.get(f"{V1}/cases/{case}/progress")) == {"images": 2, "pending": 2}
    make_findings(clinic)
    assert said(program.get(f"{V1}/cases/{case}/progress")) == {"images": 2, "pending": 0}

    seen = said(program.get(f"{V1}/cases/{case}"))
    assert (seen["specimen"], seen["hidden"], seen["patient"]["number"]) == (
        "cervix-liquid",
        False,
        "P-7",
    )
    risks = [image["finding"]["risk"] for image in seen["images"]]
    assert risks == sorted(risks, reverse=True) and max(risks) == seen["risk"]
    assert seen["images"] == said(program.get(f"{V1}/cases/{case}/images"))
    first = seen["images"][0]
    assert sum(first["finding"]["probabilities"].values()) == pytest.approx(1)
    assert said(program.get(f"{V1}/cases/{case}/images/{first['id']}")) == first
    png = program.get(first["picture"])
    assert Pillow.open(io.BytesIO(png.content)).size == (60, 40)
    again = program.get(first["picture"], headers={"If-None-Match": png.headers["ETag"]})
    assert again.status_code == 304
    assert program.get(first["thumbnail"]).headers["Content-Type"] == "image/jpeg"

    reading = {"category": "NILM", "revision": seen["revision"], "comment": "clear"}
    entered = said(program.post(f"{V1}/cases/{case}/readings", json=reading), 201)
    stale = program.post(f"{V1}/cases/{case}/readings", json=reading)
    assert "was changed since you looked at it" in refused(stale, 409)
    assert entered["revision"] > seen["revision"] and not entered["blind"]

    drafted = said(program.post(f"{V1}/cases/{case}/draft"), 201)
    assert (drafted["status"], drafted["signer"]) == ("preliminary", "")
    state = said(program.get(f"{V1}/cases/{case}/reports"))
    assert (state["obstacle"], state["signed"]) == ("", False)
    signature = {"password": with_passwords, "revision": state["revision"]}
    wrong = program.post(f"{V1}/cases/{case}/sign", json=signature | {"password": "guess"})
    assert refused(wrong, 403) == "The password is wrong."
    signed = said(program.post(f"{V1}/cases/{case}/sign", json=signature), 201)
    assert (signed["version"], signed["status"], signed["signer"]) == (2, "final", "Doctor")

    documents = {form: program.get(place) for form, place in signed["documents"].items()}
    assert documents["pdf"].content.startswith(b"%PDF-1.7")
    resources = [e["resource"]["resourceType"] for e in said(documents["fhir"])["entry"]]
    assert "DiagnosticReport" in resources
    archive = zipfile.ZipFile(io.BytesIO(documents["dicom"].content))
    assert all(name.endswith(".dcm") for name in archive.namelist())

    amendment = {**signature, "revision": state["revision"] + 1, "reason": "a slip"}
    amended = said(program.post(f"{V1}/cases/{case}/amend", json=amendment), 201)
    assert (amended["version"], amended["reason"]) == (3, "a slip")
    versions = said(program.get(f"{V1}/cases/{case}/reports"))["versions"]
    assert [version["version"] for version in versions] == [3, 2, 1]
    assert versions[0] == amended
    with clinic.reading() as db:
        lines = set(db.scalars(select(Entry.action).where(Entry.username == "doctor")))
    assert {"patient.created", "case.viewed", "image.viewed", "report.signed"} <= lines
    assert {"report.fetched", "report.amended"} <= lines


def test_a_token_does_what_it_is_limited_to(machine: Machine, make: Maker) -> None:
    case = make.case()
    make.image(case, make.model())
    program = machine("doctor", "cases.read", "images.upload")
    seen = said(program.get(f"{V1}/cases/{case}"))
    assert seen["hidden"] and seen["risk"] is None and seen["images"][0]["finding"] is None
    files = [("files", ("1.png", picture(1)))]
    assert said(program.post(f"{V1}/cases/{case}/images", files=files))["added"]
    text = refused(program.get(f"{V1}/patients"), 403)
    assert text == "This token does not include: search and open patients."
    for address in ("me", "openapi.json", "users", "explanations"):
        refused(program.get(f"{V1}/{address}"), 403)


def test_a_token_that_is_revoked_or_unknown_lets_nobody_in(machine: Machine) -> None:
    program = machine("doctor", "account.own")
    [token] = said(program.get(f"{V1}/me/tokens"))
    assert token["actions"] == ["account.own"]
    assert program.post(f"{V1}/me/tokens/{token['id']}/revoke").status_code == 204
    answer = program.get(f"{V1}/me")
    refused(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    program.headers["Authorization"] = "Bearer cyt_unknown"
    refused(program.get(f"{V1}/me"), 401)
    refused(program.get("/account", headers={"Accept": "application/json"}), 401)


def test_what_lies_at_another_site_is_absent(machine: Machine, make: Maker, people: People) -> None:
    case = make.case("two")
    image = make.image(case, make.model())
    program = machine("doctor")
    listed = said(program.get(f"{V1}/worklist"))
    assert listed["count"] == 0 and said(program.get(f"{V1}/patients"))["rows"] == []
    for address in (f"cases/{case}", f"images/{image}", f"cases/{case}/progress", "patients/1"):
        refused(program.get(f"{V1}/{address}"), 404)
    given = {"site": people.sites["two"], "number": "1", "family_name": "X"}
    refused(program.post(f"{V1}/patients", json=given), 404)
    refused(program.post(f"{V1}/cases", json={"patient": 1, "specimen": "cervix-liquid"}), 404)


def test_findings_of_a_case_to_be_read_blind_come_after_the_reading(
    machine: Machine, make: Maker
) -> None:
    case = make.case(blind=True)
    image = make.image(case, make.model())
    program = machine("doctor")
    before = said(program.get(f"{V1}/cases/{case}"))
    assert before["hidden"] and before["decision"] is None
    assert before["images"][0]["state"] == "hidden"
    text = refused(program.post(f"{V1}/images/{image}/explanations/lime"), 403)
    assert "hidden until your own reading" in text
    reading = {"category": "NILM", "verdict": "", "revision": before["revision"]}
    entered = said(program.post(f"{V1}/cases/{case}/readings", json=reading), 201)
    assert (entered["blind"], entered["verdict"]) == (True, "downgrade")
    after = said(program.get(f"{V1}/cases/{case}"))
    assert after["images"][0]["finding"]["decision"] == "abnormal" and not after["hidden"]
    waits = said(program.post(f"{V1}/images/{image}/explanations/lime"))
    assert (waits["state"], waits["overlay"]) == ("waits", None)
    refused(program.get(f"{V1}/images/{image}/explanations/lime"), 404)


@pytest.mark.parametrize(
    ("body", "status", "row"),
    [
        ('{"site": 1, "number": "1", "family_name": "A", "famly": ""}', 422, "famly: Extra"),
        ('{"site": 1, "number": "a\\u0000b", "family_name": "A"}', 422, "number: "),
        ('{"site": 2147483648, "number": "1", "family_name": "A"}', 422, "site: "),
        ('{"site": 1, "number": "1", "family_name": "A", "birth_date": "1000-01-01"}',
         422, "birth_date: "),
        ('{"site": 1, "number": "\\ud800", "family_name": "A"}', 422, "number: "),
        ('{"\\ud800": 1}', 422, ""),
        ('{"site": ' + "1" * 5000 + "}", 400, ""),
        ("[" * 100_000, 400, ""),
        ("{", 422, ""),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_named(
    machine: Machine, body: str, status: int, row: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = machine("doctor").post(f"{V1}/patients", content=body, headers=headers)
    assert answer.status_code in (400, 422) and answer.status_code == status
    rows = answer.json()["rows"]
    assert any(one.startswith(row) for one in rows) or not row


def test_a_browser_s_session_needs_its_csrf_token(
    browser: Callable[[str | None], TestClient], people: People
) -> None:
    doctor = browser("doctor")
    given = {"site": people.sites["one"], "number": "1", "family_name": "A"}
    said(doctor.post(f"{V1}/patients", json=given), 201)
    del doctor.headers["X-CSRF-Token"]
    assert said(doctor.get(f"{V1}/patients"))["count"] == 1
    refused(doctor.post(f"{V1}/patients", json=given | {"number": "2"}), 403)


def test_the_administrator_s_and_the_director_s_day(
    clinic: Installation, machine: Machine, make: Maker, tiny_bundle: Path
) -> None:
    administrator, director = machine("administrator"), machine("director")
    opened = said(administrator.post(f"{V1}/sites", json={"code": "new", "name": "New"}), 201)
    assert (opened["code"], opened["active"]) == ("NEW", True)
    given = {"username": "nora", "name": "Nora", "role": "doctor", "sites": [opened["id"]]}
    invited = said(administrator.post(f"{V1}/users", json=given), 201)
    assert invited["link"].startswith(f"{clinic.settings.url}/welcome/")
    user = said(administrator.get(f"{V1}/users/{invited['user_id']}"))
    assert (user["username"], user["waits"], user["sites"]) == ("nora", True, [opened["id"]])
    refused(administrator.post(f"{V1}/users", json=given), 409)

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path for path in tiny_bundle.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(tiny_bundle))
    files, form = {"file": ("b.zip", packed.getvalue())}, {"specimen": "cervix-liquid"}
    kept = said(administrator.post(f"{V1}/bundles", files=files, data=form), 201)
    assert (kept["status"], kept["classes"]) == ("uploaded", ["a", "b", "c"])
    place = f"{V1}/bundles/{kept['id']}"
    assert said(administrator.post(f"{place}/activate"))["status"] == "active"
    assert said(administrator.get(place))["card"]["classes"] == ["a", "b", "c"]
    assert said(administrator.post(f"{place}/retire"))["status"] == "retired"

    assert said(administrator.put(f"{V1}/retention", json={"months": 60}))["months"] == 60
    assert said(administrator.post(f"{V1}/retention/apply", json={"sure": True}))["images"] == 0
    assert said(administrator.get(f"{V1}/system"))["counts"]["accounts"] == 6
    lines = said(administrator.get(f"{V1}/audit", params={"action": "bundle."}))
    names = [entry["action"] for entry in lines["entries"]]
    assert names == ["bundle.retired", "bundle.activated", "bundle.installed"]
    assert said(administrator.post(f"{V1}/audit/verify"))["flaw"] is None
    exported = administrator.get(f"{V1}/audit/export", params={"format": "jsonl"}).text
    assert [json.loads(line)["id"] for line in exported.splitlines()][:3] == [1, 2, 3]

    for site in ("one", "two"):
        make.case(site)
    shown = said(director.get(f"{V1}/figures", params={"by": "month"}))
    assert shown["total"] == {"received": 1, "signed": 0, "images": 0}
    assert said(director.get(f"{V1}/agreement"))["kappa"]["n"] == 0
    assert said(director.get(f"{V1}/drift"))["drifts"] == []
    csv = director.get(f"{V1}/figures/export")
    assert csv.content.startswith("\ufeffTable".encode())
    [drawn] = said(director.post(f"{V1}/quality-control/draw", json={"period": "2026-01"}))
    assert (drawn["code"], drawn["target"]) == ("ONE", 0)
    assert director.put(f"{V1}/quality-control/share", json={"percent": 20}).status_code == 204
    assert said(director.get(f"{V1}/quality-control"))["samples"][0]["percent"] == 20
    refused(director.get(f"{V1}/worklist"), 403)


def test_the_description(machine: Machine) -> None:
    described = said(machine("director").get(f"{V1}/openapi.json"))
    assert described["openapi"].startswith("3.1")
    assert described["security"] == [{"token": []}, {"session": []}]
    operations = [one for path in described["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names) > 60
    assert all(one["summary"] and one["description"] and one["tags"] for one in operations)
    assert all(path.startswith(V1) for path in described["paths"])
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for one in operations:
        assert one["responses"]["403"]["content"] == problem
