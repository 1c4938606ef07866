"""Whatever is typed into an address or a form, no page breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.clinic.conftest import Maker

from cytolens.clinic.rights import RIGHTS, Role
from cytolens.clinic.web.guard import May, guards
from cytolens.clinic.web.limits import RATES, Limits, Rate
from cytolens.clinic.web.routers import PAGES

NASTY = {
    "a NUL": "a\x00b",
    "beyond 32 bits": str(2**31),
    "beyond 64 bits": "-" + str(2**63),
    "beyond the limit of digits": "9" * 5000,
    "the last day": "9999-12-31",
    "the first day": "0001-01-01",
    "the last month": "9999-12",
    "the first month": "0001-01",
    "a sign that is not shown": "\u202e\ufeff",
}
_AFTER_AN_END = ("/account", "/users/{user_id}")  # of the session that asked, it may be


def _names(dependant: Dependant, where: str) -> set[str]:
    """Return what a route and what it depends on take from one place."""
    own = {str(param.alias) for param in getattr(dependant, f"{where}_params")}
    return own.union(*(_names(one, where) for one in dependant.dependencies))


def _routes() -> Iterator[tuple[str, APIRoute, str]]:
    for route in (route for router in PAGES for route in router.routes):
        assert isinstance(route, APIRoute)
        [guard] = guards(route.dependant)
        role = next(iter(sorted(RIGHTS[guard.action].roles))) if isinstance(guard, May) else ""
        for method in route.methods:
            yield method, route, role


@pytest.mark.parametrize("value", NASTY.values(), ids=list(NASTY))
def test_no_page_breaks(
    browser: Callable[[str | None], TestClient],
    make: Maker,
    value: str,
) -> None:
    case = make.case()
    make.image(case, make.model())
    broken, clients = {}, {role: browser(role or None) for role in ("", *Role)}
    clients[""].app.state.limits = Limits(dict.fromkeys(RATES, Rate(1e9, 1e9)))  # type: ignore[attr-defined]
    for method, route, role in _routes():
        if route.path.startswith(_AFTER_AN_END):
            clients[role] = browser(role or None)
        path = route.path
        for name in _names(route.dependant, "path"):
            path = path.replace("{" + name + "}", "1")
        query = dict.fromkeys(_names(route.dependant, "query"), value)
        form = dict.fromkeys(_names(route.dependant, "body"), value)
        answer = clients[role].request(method, path, params=query, data=form or None)
        if answer.status_code >= 500:
            broken[f"{method} {path}"] = answer.text[:200]
    assert broken == {}
