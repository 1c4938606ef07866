"""Every route × every role: who is let in is what the table of rights says, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.clinic.conftest import Maker, People

from cytolens.clinic import clock
from cytolens.clinic.installation import Installation
from cytolens.clinic.rights import RIGHTS, Action, Role, allowed
from cytolens.clinic.tables import QualityDraw, Reading, Report
from cytolens.clinic.web.app import create_app
from cytolens.clinic.web.guard import May, Public
from cytolens.clinic.web.routers import API, PAGES

_WHO = {
    Role.ADMINISTRATOR: "administrator",
    Role.DOCTOR: "doctor",
    Role.DIRECTOR: "director",
}


def _guards(dependant: Dependant) -> Iterator[May | Public]:
    for one in dependant.dependencies:
        if isinstance(one.call, (May, Public)):
            yield one.call
        yield from _guards(one)


def _routes() -> list[tuple[str, str, APIRoute]]:
    found = [(route, "") for router in PAGES for route in router.routes]
    found += [(route, "/api/v1") for router in API for route in router.routes]
    return [
        (method, prefix + route.path, route)
        for route, prefix in found
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


_ROUTES = _routes()
_NAMES = [f"{method} {path}" for method, path, _ in _ROUTES]
_GUARDED = [
    (method, path, guard.action)
    for method, path, route in _ROUTES
    for guard in _guards(route.dependant)
    if isinstance(guard, May)
]
_OF_A_SITE = ("case_id", "image_id", "patient_id", "report_id", "draw_id", "reading_id")


def test_there_are_routes() -> None:
    assert len(_GUARDED) > 40


@pytest.mark.parametrize("method, path, route", _ROUTES, ids=_NAMES)
def test_every_route_has_exactly_one_guard(method: str, path: str, route: APIRoute) -> None:
    assert len(list(_guards(route.dependant))) == 1, f"{method} {path}"


def test_no_route_hides_outside_of_the_routers(clinic: Installation) -> None:
    known = {path for _, path, _ in _ROUTES} | {"/health", "/static"}
    included = {id(router) for router in (*PAGES, *API)}
    for route in create_app(clinic).routes:
        router = getattr(route, "original_router", None)  # newer versions of FastAPI keep them
        if router is not None and id(router) in included:
            continue
        inside = [route] if router is None else router.routes
        assert {getattr(one, "path", "") for one in inside} <= known


def test_every_action_is_asked_for_by_some_route() -> None:
    assert {action for _, _, action in _GUARDED} == set(Action) == set(RIGHTS)


@pytest.fixture
def objects(clinic: Installation, people: People, make: Maker) -> dict[str, dict[str, str]]:
    """One object of each kind at each site, as path parameters."""
    found = {}
    model = make.model()
    for site, doctor in (("one", "doctor"), ("two", "doctor_two")):
        case = make.case(site)
        image = make.image(case, model)
        with clinic.writing() as db:
            reading = Reading(
                case_id=case,
                doctor_id=people.users[doctor],
                category="HSIL",
                verdict="agree",
                blind=False,
                created_at=clock.now(),
            )
            db.add(reading)
            db.flush()
            report = Report(
                case_id=case,
                version=1,
                status="preliminary",
                reading_id=reading.id,
                content={},
                content_sha256="0" * 64,
                pdf=clinic.blobs.put(b"%PDF-1.7"),
                bundles=[],
                created_at=clock.now(),
            )
            draw = QualityDraw(case_id=case, period="2026-11", drawn_at=clock.now())
            db.add_all([report, draw])
            db.flush()
            found[site] = {
                "case_id": str(case),
                "image_id": str(image),
                "patient_id": "1" if site == "one" else "2",
                "report_id": str(report.id),
                "reading_id": str(reading.id),
                "draw_id": str(draw.id),
                "model_id": str(model),
                "user_id": str(people.users["second_doctor"]),
                "site_id": str(people.sites["one"]),
                "method": "occlusion",
            }
    return found


def _filled(path: str, values: dict[str, str]) -> str:
    return re.sub(r"{(\w+)(:\w+)?}", lambda match: values.get(match[1], "1"), path)


Browser = Callable[[str | None], TestClient]


def _ask(browser: Browser, who: str | None, method: str, path: str) -> int:
    client = browser(who)
    with client.stream(method, path, headers={"Accept": "application/json"}) as response:
        return response.status_code


def test_nobody_gets_in(browser: Browser, objects: dict[str, dict[str, str]]) -> None:
    found = {
        f"{method} {path}": _ask(browser, None, method, _filled(path, objects["one"]))
        for method, path, _ in _GUARDED
    }
    assert {name: status for name, status in found.items() if status != 401} == {}


@pytest.mark.parametrize("role", Role)
def test_a_role_gets_in_where_the_table_says(
    browser: Browser, objects: dict[str, dict[str, str]], role: Role
) -> None:
    wrong = {}
    for method, path, action in _GUARDED:
        status = _ask(browser, _WHO[role], method, _filled(path, objects["one"]))
        right = (
            status < 500 and status not in (401, 403) if allowed(role, action) else status == 403
        )
        if not right:
            wrong[f"{method} {path}"] = status
    assert wrong == {}


def test_what_lies_at_another_site_is_not_found(
    browser: Browser, objects: dict[str, dict[str, str]]
) -> None:
    wrong = {}
    for method, path, action in _GUARDED:
        concerned = RIGHTS[action].sites and any("{" + name in path for name in _OF_A_SITE)
        who = next(iter(RIGHTS[action].roles))
        if concerned:
            status = _ask(browser, _WHO[who], method, _filled(path, objects["two"]))
            if status not in (404, 422):  # 422: a form without its fields, before any look
                wrong[f"{method} {path}"] = status
    assert wrong == {}


def test_reading_what_lies_at_another_site_is_404(
    browser: Browser, objects: dict[str, dict[str, str]]
) -> None:
    asked = 0
    for method, path, action in _GUARDED:
        if method == "GET" and RIGHTS[action].sites and any("{" + n in path for n in _OF_A_SITE):
            who = _WHO[next(iter(RIGHTS[action].roles))]
            assert _ask(browser, who, method, _filled(path, objects["two"])) == 404, path
            asked += 1
    assert asked > 5
