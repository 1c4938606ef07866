"""Tables of the clinic: who may do what, and what its interface for machines offers."""

from __future__ import annotations

from fastapi.routing import APIRoute
from table_writer import code, table

from cytolens.clinic.rights import RIGHTS, Role
from cytolens.clinic.web.guard import May, guards
from cytolens.clinic.web.routers import API


def rights() -> str:
    """Return what each role may do: an action a row, with what it covers."""
    rows = (
        (
            code(right.action),
            right.what,
            *("yes" if role in right.roles else "" for role in Role),
            "the account's" if right.sites else "all",
        )
        for right in RIGHTS.values()
    )
    return table(("action", "what", *Role, "sites"), rows)


def operations() -> str:
    """Return what the interface for machines offers, and which action each operation asks for."""
    rows = []
    for route in (route for router in API for route in router.routes):
        assert isinstance(route, APIRoute)
        [asked], [method] = guards(route.dependant), route.methods
        assert isinstance(asked, May)
        rows.append((code(f"{method} {route.path}"), str(route.summary), code(asked.action)))
    return table(("operation", "what it does", "action"), rows)
